"""Tiny plants as YAML, for the tests of studies and of the command line."""

from __future__ import annotations

from pathlib import Path

QUEUE = """
name: queue
horizon_d: 30
start: {every_d: 1}
recipe:
  name: two_steps
  unit_procedures:
    - name: making
      hold: {vessel: reactor}
      steps:
        - {name: load, needs: {operator: 1}, duration_h: 2, shift: overtime, materials: {medium: 3}}
        - {name: grow, duration_h: {lognormal: {mean: 30, cv: 0.5}}, on_down: abort}
plant:
  name: bench
  pools:
    operator: {kind: people, count: 1, calendar: day, cost_usd_per_h: 50}
    reactor: {kind: equipment, count: 2, mtbf_h: 400, mttr_h: {exponential: {mean: 5}}, price_usd: 1000, life_y: 5, suite: hall}
  calendars: {day: {hours: ["08:00-16:00"]}}
  prices_usd: {medium: 20}
"""

DEADLOCK = """
name: embrace
horizon_d: 200
start: {every_d: 1}
recipe:
  name: embrace
  unit_procedures:
    - name: first
      hold: {left: {pool: reactor, until: swap}}
      steps: [{name: fill, duration_h: 30}]
    - name: second
      hold: {right: reactor}
      steps: [{name: swap, duration_h: 1}]
plant:
  name: bench
  pools: {reactor: {kind: equipment, count: 2}}
"""


def write(folder: Path, text: str = QUEUE) -> Path:
    """A scenario file with this text, named after the scenario."""
    path = folder / f"{text.split()[1]}.yaml"
    path.write_text(text, encoding="utf-8")
    return path
