"""Random scenarios: a seeded generator of small plants, recipes and laboratories as plain dictionaries.

Times are whole or half hours, so that many things are due in the same second. Held pools and needed pools are two sets, and a unit that is
kept over a procedure asks only for pools of a higher number: no scenario can lock itself. Weights are set so that most scenarios
release doses and each of the mechanisms (breakdowns, pauses, retries, aborts, waits) stands in many of them.
"""

from __future__ import annotations

from random import Random
from typing import Any

Plan = dict[str, Any]

CALENDARS: dict[str, Plan] = {
    "day": {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": ["08:00-16:00"]},
    "split": {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": ["07:00-11:00", "12:00-16:00"]},
    "long": {"days": ["mon", "tue", "wed", "thu", "fri", "sat"], "hours": ["06:00-22:00"]},
    "nights": {"hours": ["22:00-06:00"], "closed": ["2026-01-14", "2026-01-20"]},
    "odd": {"days": ["mon", "wed", "fri"], "hours": ["05:00-23:00"]},
    "weekdays": {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": ["00:00-12:00", "12:00-24:00"]},
}
"""Any two that meet in one step are open together for SHORTEST_H some time in the week: "weekdays" and "odd" go with every other."""
SHORTEST_H = 4                  # shortest opening of any calendar: bench work is planned to fit
BENCH_H = (0, 0.5, 1, 1, 2, 3, 4, 4)
LAWS: tuple[Plan, ...] = (
    {"uniform": {"low": 1, "high": 3}}, {"lognormal": {"mean": 2, "cv": 0.4}}, {"exponential": {"mean": 1.5}},
    {"triangular": {"low": 0, "mode": 1, "high": 4}}, {"beta": {"a": 2, "b": 3, "low": 0, "high": 4}},
    {"discrete": {"values": [0, 1, 4], "weights": [1, 2, 1]}}, {"normal": {"mean": 2, "sd": 1, "low": 0}})
CULTURE_H = (0, 6, 12, 24, 24, 36, 48)


class Dice:
    """A seeded source of choices."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def among(self, options: Any) -> Any:
        return self.random.choice(list(options))

    def count(self, low: int, high: int) -> int:
        return self.random.randint(low, high)


def scenario(
    seed: int, *, gathering: bool = False, routes: bool = False, changing: bool = False,
    investigations: bool = False, stocks: bool = False
) -> Plan:
    """The random scenario of a seed, as a file would hold it.

    With ``gathering`` some steps of some plants gather (F5), with ``routes`` most plants of two markets decide for each by itself (K6),
    with ``changing`` most units are changed over (B6) some starts come in campaigns or are lost (A1), and some
    ranks go by due dates (N2), with ``stocks`` steps take items and put them in (S1-S6), with ``investigations`` most plants investigate
    readings out of limits (K6).
    """
    plan = _Maker(seed).scenario()
    if investigations:
        _investigate(plan, Dice(seed + 3_000_000))
    if routes:
        _routes(plan, Dice(seed + 2_000_000))
    if gathering:
        _gather(plan, Dice(seed + 1_000_000))
    if changing:
        _change(plan, Dice(seed + 4_000_000))
    if stocks:
        _stock(plan, Dice(seed + 5_000_000))
    return plan


def _change(plan: Plan, dice: Dice) -> None:
    """Most pools of equipment have a changeover; what must fit is planned so short that it does with the longest of them (B6)."""
    for pool in (*plan["plant"]["pools"].values(), *plan["lab"]["pools"].values()):
        if pool["kind"] == "equipment" and dice.chance(0.8):
            pool["changeover_h"] = {"same_batch": dice.pick(0, 0.25, 0.5), "other_batch": dice.pick(0.5, 1, 2)}
    recipe = plan["recipe"]
    steps = [step for procedure in recipe["unit_procedures"] for step in procedure["steps"]]
    steps += [step for side in (*recipe["branches"].values(), *plan["lab"]["assays"].values()) for step in side.get("steps", [])]
    for step in steps:
        if step.get("shift", "fit") == "fit":
            step["planned_h"] = min(step.get("planned_h", 2), 2)
    start = plan["start"]
    if dice.chance(0.4):
        for plan_of in ("every_d", "poisson_per_year"):
            start.pop(plan_of, None)
        start["campaigns"] = {"batches": dice.count(2, 4), "every_d": dice.pick(0.5, 1), "pause_d": dice.pick(2, 2.5, 4)}
    if plan.pop("stop_after_batches", None):                # a run that cannot end would be none
        plan |= {"horizon_d": 28}
    if "wip_cap" in start and len(start.keys() & {"every_d", "poisson_per_year", "campaigns"}):
        start["when_full"] = dice.pick("wait", "lost", "lost")
    if dice.chance(0.5):
        plan["rank"], start["due_d"] = "due_date", dice.pick(0, 0.5, 1, 2, 5)
        if dice.chance(0.5):                                # many wait for the cap, and for people with the jobs of their units
            plan["start"] = {"every_d": 0.5, "wip_cap": dice.count(1, 2), "at_most": start["at_most"], "due_d": dice.pick(1, 2, 5)}
            for name, pool in plan["plant"]["pools"].items():
                if name.startswith("bench"):
                    pool["cleaning"] = {"duration_h": dice.pick(1, 2), "needs": {"staff0": 1}, "shift": "pause"}


def _stock(plan: Plan, dice: Dice) -> None:
    """One to three stocks, from which some steps of every kind take; one of them is also filled by a step. Most are ordered again."""
    names = [f"stock{k}" for k in range(dice.count(1, 3))]
    stocks = {name: _a_stock(dice) for name in names}
    home = dice.pick("plant", "lab")
    plan[home]["stocks"] = stocks
    steps = [step for procedure in plan["recipe"]["unit_procedures"] for step in procedure["steps"]]
    steps += [step for branch in plan["recipe"]["branches"].values() for step in branch["steps"]]
    steps += [step for assay in plan["lab"]["assays"].values() for step in assay.get("steps", [])]
    for step in steps:
        if dice.chance(0.95 if step.get("on_down") == "redo" else 0.8 if "gather" in step else 0.45):
            step["takes"] = {name: dice.pick(1, 1, 2, 3) for name in names if dice.chance(0.6)}
    filling = [step for step in steps if "takes" not in step or "on_down" in step]
    if filling and dice.chance(0.6):
        stock = dice.among(names)
        for step in filling[-dice.pick(1, 1, 2):] if dice.chance(0.5) else [dice.among(filling)]:
            step["puts"] = {stock: dice.pick(1, 2, 5)}
    if any("reorder" not in stock for stock in stocks.values()):          # who waits for ever cannot be drained
        plan.pop("stop_after_batches", None)
        plan |= {"horizon_d": 21, "drain": False}


def _a_stock(dice: Dice) -> Plan:
    stock: Plan = {"opening": dice.pick(0, 1, 4, 5, 12), "lot": dice.pick(1, 2, 3, 5), "price_usd": dice.pick(1, 2.5)}
    if dice.chance(0.7):
        stock["shelf_life_d"] = dice.pick(0.5, 1, 2, 3.5, 7)
    if dice.chance(0.85):
        lead = dice.pick(0, 0.25, 1, 1, 2, {"uniform": {"low": 0.5, "high": 2}}, {"discrete": {"values": [0, 1, 4], "weights": [1, 2, 1]}})
        stock["reorder"] = {"at": dice.pick(2, 2, 3, 5), "lead_time_d": lead}           # so that three can be taken
        if dice.chance(0.5):
            stock["reorder"]["lot"] = dice.pick(3, 4, 8)
    return stock


def _gather(plan: Plan, dice: Dice) -> None:
    """In a part of the plants some steps of samples, of the side branch and of the main line outside holds gather (F5)."""
    if dice.chance(0.4):
        return
    sides = [step for assay in plan["lab"]["assays"].values() for step in assay.get("steps", [])]
    sides += [step for branch in plan["recipe"]["branches"].values() for step in branch["steps"]]
    procedures = plan["recipe"]["unit_procedures"]
    kept = any("until" in hold for procedure in procedures for hold in procedure.get("hold", {}).values())
    free = [step for procedure in procedures if "hold" not in procedure and not kept for step in procedure["steps"]]
    for step in [step for step in sides if dice.chance(0.5)] + [step for step in free if dice.chance(0.25)]:
        if "per" not in step and "repeat" not in step:
            step["gather"] = {"k": dice.pick(2, 2, 3, 5), "limit_h": dice.pick(0, 6, 24, 48)}
            step.pop("materials", None)                  # the driver of a run is its members
            if dice.chance(0.3):
                step |= {"duration_h": 1, "per": "members", "per_h": dice.pick(0.25, 0.5), "planned_h": 3}
                step.pop("spread", None)


def _investigate(plan: Plan, dice: Dice) -> None:
    """In most plants readings of samples out of limits are investigated, and runs suffer errors of the laboratory (K6)."""
    if dice.chance(0.1):
        return
    for assay in plan["lab"]["assays"].values():
        if not assay.get("steps") or dice.chance(0.1):
            continue
        assay["lab_error"] = {"chance": {"value": dice.pick(0.2, 0.4, 0.6)}}
        if assay["attribute"] != "none" and dice.chance(0.5):
            assay["lab_error"]["factor"] = {"value": dice.pick(0.05, 0.9, 2)}
        assay["retests"] = dice.pick(0, 1, 2, 2, 2)
        if assay["retests"] == 2:
            assay["accept"] = dice.pick("all", "average", "average") if assay.get("kind", "value") in ("value", "count") else "all"
        phases: Plan = {}
        if dice.chance(0.75):
            check: Plan = {"name": "check", "needs": {"analyst": 1}, "duration_h": dice.pick(0, 1, 4)}
            check["shift"] = dice.pick("fit", "pause", "overtime")
            phases["laboratory"] = [{"name": "look back"}, check] if dice.chance(0.3) else [check]
            phases["found"] = {"value": dice.pick(0.5, 0.9, 1)}
        if not phases or dice.chance(0.8):
            inquiry: Plan = {"name": "inquiry", "duration_h": dice.pick(2, 12, 24)}
            if dice.chance(0.5):
                inquiry |= {"needs": {"analyst": 1}, "duration_h": dice.pick(0.5, 3), "shift": "pause"}
            phases["manufacturing"] = [inquiry, {"name": "close"}] if dice.chance(0.3) else [inquiry]
        assay["investigate"] = phases


def _routes(plan: Plan, dice: Dice) -> None:
    """In most plants of two markets each decides on a route of its own: the step that decided begins them, a last one joins them."""
    panels = plan["panels"]
    steps = plan["recipe"]["unit_procedures"][-1]["steps"]
    deciding = [step for step in steps if "decide" in step]
    if len(panels) < 2 or not deciding or dice.chance(0.3):
        return
    for panel in panels:
        step: Plan = {"name": "close", "duration_h": dice.pick(0, 0, 3, 20)}
        if dice.chance(0.6):
            step |= {"needs": {"analyst": 1}, "duration_h": dice.pick(0.5, 3), "shift": dice.pick("fit", "pause", "overtime")}
        panel["steps"] = [step, {"name": "sign"}] if dice.chance(0.4) else [step]
    for step in deciding:
        del step["decide"]
    steps[-1]["fork"] = [*steps[-1].get("fork", []), "panels"]
    steps.append({"name": "closed", "join": ["panels"]})


class _Maker:
    """Keeps what has been made, so that later parts refer to it."""

    def __init__(self, seed: int) -> None:
        self.seed, self.dice = seed, Dice(seed)
        self.alive = self.dice.chance(0.97)                  # with cells and a product
        self.two_markets = self.dice.chance(0.4)
        self.reserving = self.dice.chance(0.4)               # steps that need several people keep them; then no unit's job needs any
        self.asking = not self.reserving and self.dice.chance(0.45)     # steps that say so keep people of two kinds
        self.rushed = self.dice.chance(0.15)                 # long steps that must fit short openings, at benches that often fail
        self.people: dict[str, Plan] = {}
        self.equipment: dict[str, Plan] = {}
        self.held: list[str] = []                            # pools for holds, in the order in which they may be asked for
        self.needed: list[str] = []                          # pools for the needs of single steps
        self.branches: dict[str, Plan] = {}
        self.joinable: list[str] = []

    def scenario(self) -> Plan:
        dice = self.dice
        self._people()
        self._equipment()
        recipe = self._recipe()
        lab, panels = self._lab()
        plan: Plan = {
            "name": f"random {self.seed}", "start": self._start(), "recipe": recipe, "max_events": 50_000,
            "starvation_d": dice.pick(30, 30, 2, 4),
            "plant": {"name": "random", "pools": {**self.people, **self.equipment}, "roles": self.roles},
            "lab": lab, "panels": panels,
        }
        if dice.chance(0.15):
            plan["stop_after_batches"] = dice.count(4, plan["start"]["at_most"])
        else:
            plan |= {"horizon_d": dice.pick(14, 21, 28, 35), "drain": dice.chance(0.6), "warm_up_d": dice.pick(0, 0, 0, 7)}
        if self.alive:
            plan["product"] = {"name": "cells", "dose_cells": 2e6, "vial_cells": 1e6, "fill_cells": 1e4, "qc_vials": dice.pick(0, 2, 4)}
        text = repr(plan)
        plan["plant"]["calendars"] = {name: calendar for name, calendar in CALENDARS.items() if repr(name) in text}
        return plan

    # ---- plant
    def _people(self) -> None:
        for k in range(self.dice.count(2 if self.asking else 1, 3)):
            pool: Plan = {"kind": "people"}
            if self.dice.chance(0.1 if self.asking else 0.25):
                pool["shifts"] = {"early": {"count": self.dice.count(1, 2), "calendar": self.dice.pick("day", "split")},
                                  "late": {"count": 1, "calendar": self.dice.pick("nights", "long", "day")}}
            else:
                pool["count"] = 1 if self.asking else self.dice.pick(2, 2, 3) if self.reserving else self.dice.pick(1, 2, 2, 3)
                if self.dice.chance(0.4 if self.asking else 0.6):
                    pool["calendar"] = self.dice.pick("day", "split", "split", *([] if self.rushed else ["long", "nights", "weekdays"]))
            self.people[f"staff{k}"] = pool
        names = list(self.people)
        self.roles: dict[str, list[str]] = {}
        if len(names) > 1:
            self.roles["anyone"] = names if self.dice.chance(0.5) else names[::-1]

    def _role(self) -> str:
        return str(self.dice.among([*self.people, *self.roles]))

    def _least(self, role: str) -> int:
        """The smallest pool of a role: as many can be asked for anywhere in it."""
        pools = [self.people[name] for name in self.roles.get(role, [role])]
        return int(min(crew["count"] for pool in pools for crew in pool.get("shifts", {"": pool}).values()))

    def _equipment(self) -> None:
        dice = self.dice
        for k in range(dice.count(1, 3)):
            self.held.append(f"vessel{k}")
        for k in range(dice.count(1, 2)):
            self.needed.append(f"bench{k}")
        for name in (*self.held, *self.needed):
            pool: Plan = {"kind": "equipment", "count": dice.pick(1, 2, 3, 4) if name in self.needed else dice.count(2, 5)}
            if dice.chance(0.85 if name in self.needed else 0.65):
                often = ((8, 12) if self.rushed else (12, 24, 48)) if name in self.needed else (30, 60, 120)
                pool |= {"mtbf_h": dice.pick(*often), "mttr_h": self._repair_time(name), "clock": dice.pick("calendar", "working")}
                if name in self.needed and dice.chance(0.4):
                    pool["clock"] = "working"
                if dice.chance(0.4) and not self.reserving:
                    pool["repair"] = {"needs": {self._role(): 1}, "shift": dice.pick("pause", "overtime"), "priority": dice.pick(-1, 0, 1)}
                    some = {"discrete": {"values": [0, 1, 4], "weights": [1, 1, 1]}}
                    pool |= {"mtbf_h": dice.pick(60, 120), "mttr_h": dice.pick(1, 2, some)}
            if dice.chance(0.55):
                pool["cleaning"] = self._job(dice.pick(0, 0.5, 1, 2, 4))
            if dice.chance(0.35):
                pool["maintenance"] = [{"name": f"service{n}", "every_d": dice.pick(3.5, 7), "stagger_d": dice.pick(0, 0.5, 1),
                                        "first_d": dice.pick(0, 0.5, 10 / 24, 1.375), **self._job(dice.pick(1, 2))}
                                       for n in range(dice.pick(1, 1, 2))]
            if name in self.needed and dice.chance(0.2):
                pool["calendar"] = "weekdays"
            self.equipment[name] = pool

    def _repair_time(self, name: str) -> Any:
        if name in self.needed and (self.rushed or self.dice.chance(0.5)):
            return self.dice.pick(0.5, 1)
        return self.dice.pick(1, 8, {"exponential": {"mean": 4}}, {"discrete": {"values": [0, 1, 8], "weights": [2, 2, 1]}},
                              {"mixture": [{"weight": 3, "of": {"uniform": {"low": 1, "high": 3}}},
                                           {"weight": 1, "of": {"lognormal": {"mean": 16, "cv": 0.5}}}]})

    def _job(self, hours: float) -> Plan:
        job: Plan = {"duration_h": hours}
        if self.dice.chance(0.7) and not self.reserving:
            job |= {"needs": {self._role(): 1}, "shift": self.dice.pick("pause", "pause", "fit", "overtime")}
            job["priority"] = self.dice.pick(-1, 0, 0)
        return job

    # ---- steps
    def bench(self, name: str, **more: Any) -> Plan:
        """A step of hands: people, perhaps a bench, at most the shortest opening long."""
        dice = self.dice
        role = self._role()
        step: Plan = {"name": name, "needs": {role: 1}, "duration_h": dice.among(BENCH_H)}
        step["shift"] = dice.pick("fit", "fit", "fit", "overtime", "pause", "pause")
        if self.rushed:
            step |= {"shift": "fit", "duration_h": dice.pick(3, 4)}
        many = dice.chance(0.8 if self.reserving else 0.25) and self._least(role) > 1
        if many:
            step |= {"needs": {role: 2}, "reserve": None if self.reserving else False}
        if dice.chance(0.25):
            step["duration_h"] = dice.among(LAWS)
            step["planned_h"] = dice.pick(1, 1, 2, 4)
        elif step["duration_h"] and dice.chance(0.15):
            step["spread"] = {"lognormal": {"cv": 0.2}}
            step["planned_h"] = SHORTEST_H
        elif dice.chance(0.2):
            step |= self._amount("vessels", "deviations_minor", "deviations_major")
        elif step["shift"] != "fit" and dice.chance(0.3):
            step["duration_h"] = 6
        if dice.chance(0.75) and not (many and self.reserving):
            self._use_bench(step)
        if dice.chance(0.2):
            step["priority"] = dice.pick(-1, 1)
        if dice.chance(0.4):
            self._helped(step, role, 0.5)
        if "per" not in step and dice.chance(0.15):
            step["materials"] = {"medium": {"each": 2, "per": dice.pick("cells_1e9", "vessels", "volume_l", "vials")}}
        if dice.chance(0.15):
            step["draws_as"] = "luck"
        return step | more

    def _amount(self, *drivers: str) -> Plan:
        """A duration that depends on an amount; 0.03125 h are 112.5 s."""
        dice = self.dice
        how: Plan = {"duration_h": dice.pick(1, 0.03125), "per": dice.pick(*drivers), "per_h": dice.pick(0.5, 1), "planned_h": SHORTEST_H}
        return how | ({"spread": {"lognormal": {"cv": 0.2}}} if dice.chance(0.3) else {})

    def _use_bench(self, step: Plan) -> None:
        dice = self.dice
        pool = dice.among(self.needed)
        count = min(dice.pick(1, 1, 1, 2), self.equipment[pool]["count"])
        if count > 1:
            step["reserve"] = False
        step["needs"][pool] = count if dice.chance(0.8) else {"count": count, "for_h": 0.5}
        rules: list[Any] = ["wait"] * (9 if self.rushed else 3)
        rules += ["redo", "redo", "abort", {"wait": 0.5, "redo": 0.5}, {"wait": 0.5, "redo": 0.25, "abort": 0.25}]
        if count == 1:
            rules += ["lose", {"redo": 0.5, "lose": 0.5}]
        step["on_down"] = dice.among(rules)

    def culture(self, name: str, **more: Any) -> Plan:
        """A long step, attended at its beginning or not at all."""
        dice = self.dice
        step: Plan = {"name": name, "duration_h": dice.among(CULTURE_H)}
        if self.alive and dice.chance(0.4):
            step |= dice.pick({"operation": "grow_planar"}, {"operation": "hold", "parameters": {"limit_h": 48, "loss_per_h": 0.002}})
        if dice.chance(0.7):
            role = self._role()
            step["needs"] = {role: {"count": 1, "for_h": dice.pick(0.5, 1, 2, 3)}}
            step["shift"] = dice.pick("fit", "overtime", "pause", "pause")
            if dice.chance(0.6):
                self._helped(step, role, dice.pick(0.25, 0.5, 3))
        return step | more

    def _helped(self, step: Plan, role: str, hours: float) -> None:
        """Somebody of another pool who is always there comes for the beginning."""
        always = [name for name, pool in self.people.items() if "count" in pool and "calendar" not in pool
                  and name not in self.roles.get(role, [role])]
        if always:
            step["needs"][self.dice.among(always)] = {"count": 1, "for_h": hours}

    def window(self, after: list[str], *, skip_to: str | None = None) -> Plan:
        """A window of a step; ``skip_to`` is where a late batch may go."""
        dice = self.dice
        target = dice.pick(0, 0, 4, 12, 24)
        window: Plan = {"target_h": target}
        if after and dice.chance(0.6):
            names = [dice.among(after), dice.among(after)] if dice.chance(0.5) else [dice.among(after)]
            window["after"] = [f"{name}.{dice.pick('start', 'end')}" for name in names]
        if dice.chance(0.4):
            window["start_on"] = dice.pick("odd", "weekdays")
        if dice.chance(0.7):
            window["latest_h"] = target + dice.pick(12, 24, 48, 96, 168)
            window["late"] = dice.pick(*([{"go": skip_to}] * 3 if skip_to else ["go_on", "go_on", "give_up"]))
        return window

    # ---- recipe
    def _recipe(self) -> Plan:
        dice = self.dice
        procedures = [self._expansion(), self._harvest()]
        if dice.chance(0.6):
            procedures.insert(1, self._middle(procedures[0]["steps"][1]["name"]))
        for k, procedure in enumerate(procedures):
            later = [step["name"] for other in procedures[k + 1 : k + 2] for step in other["steps"]]
            self._hold(procedure, k, later)
        self._side_branch(procedures)
        second = procedures[0]["steps"][1]
        if not procedures[-1]["steps"][0]["samples"] and "repeat" not in second:
            second["samples"] = {"early": {"pass_if": {"at_most": dice.pick(0.5, 1.0)}, "on_fail": "stop_batch"}}
        steps = [step for procedure in procedures for step in procedure["steps"]]
        for k, step in enumerate(steps):
            skippable = step["name"].startswith(("extra", "feed", "gate", "grow", "check")) and "fork" not in step and "repeat" not in step
            if "window" not in step and dice.chance(0.6 if skippable else 0.2):
                step["window"] = self.window([s["name"] for s in steps[:k]], skip_to=steps[k + 1]["name"] if skippable else None)
            if skippable and "give_up" not in step and dice.chance(0.5):
                step["give_up"] = steps[k + 1]["name"]
            if self.alive:
                step["openings"] = dice.pick(0, 0, 1, 2)
        recipe: Plan = {"name": "random", "unit_procedures": procedures, "branches": self.branches}
        if self.alive:
            recipe["effects"] = {"growth_effect": {"lognormal": {"mean": 1, "cv": 0.1}}}
            recipe["hazards"] = {"contamination": {"per_opening": dice.pick(0, 0.01, 0.05), "per_h": dice.pick(0, 1e-4)},
                                 "upset": {"per_step": dice.pick(0, 0.01, 0.03)}}
        return recipe

    def _expansion(self) -> Plan:
        dice = self.dice
        thaw = {"operation": "thaw_planar", "parameters": {"bank_vials": 4, "area_cm2": 350, "vessels": 2}} if self.alive else {}
        steps = [self.bench("thaw", **thaw)]
        if dice.chance(0.6):
            feed = self.bench("feed", **({"operation": "feed"} if self.alive else {}))
            feed["window"] = {"after": "thaw.end", "target_h": 24, "every_h": dice.pick(12, 24)}
            if dice.chance(0.5):
                feed["repeat"] = dice.count(2, 3)
            steps.append(feed)
        else:
            steps.append(self.culture("grow"))
        if dice.chance(0.8):
            steps.append(self._gate("gate", steps[-1]["name"]))
        return {"name": "expansion", "steps": steps}

    def _gate(self, name: str, again: str) -> Plan:
        """A step whose reading is above its limit by chance: on, again from here or from before, or out."""
        dice = self.dice
        step = self.bench(name, look="noise", max_attempts=dice.pick(1, 2, 3, 4))
        back = dice.pick(name, again, again)
        if back != name and dice.chance(0.35):
            step["window"] = {"after": f"{again}.end", "every_h": dice.pick(6, 12), "latest_h": dice.pick(24, 48), "late": {"go": "count"}}
        if dice.chance(0.4):
            step |= {"pass_if": {"at_most": dice.pick(0.0, 0.3, 0.5)}, "on_fail": dice.pick(back, back, back, "stop")}
        else:
            step["bands"] = [{"at_most": 0.2, "go": "next"}, {"at_most": 0.6, "go": "next", "deviation": dice.pick("minor", "major")},
                             {"at_most": 1.5, "go": back}, {"go": dice.pick("stop", "give_up", "give_up"), "reason": "out of range"}]
        if not {"per", "spread", "materials"} & step.keys() and not self.reserving and dice.chance(0.85):
            step |= {"needs": {self._role(): 1, dice.among(self.needed): 1}, "on_down": "redo", "duration_h": 4, "max_attempts": 5}
        return step | ({"give_up": "count"} if dice.chance(0.5) else {})

    def _middle(self, early: str) -> Plan:
        """``early`` is a step of the procedure before, to which a failed check may lead back."""
        dice = self.dice
        steps = [self.bench("extra1") if dice.chance(0.5) else self.culture("extra1")]
        if dice.chance(0.6):
            steps.append(self.culture("extra2") if dice.chance(0.5) else self.bench("extra2"))
        if dice.chance(0.8):
            steps.append(self._gate("check", dice.pick(steps[-1]["name"], early, early, early)))
        return {"name": "middle", "steps": steps}

    def _harvest(self) -> Plan:
        dice = self.dice
        steps = [self.bench("count", look="cells", samples=self._samples())]
        if self.alive:
            plan = {"measured_cells": {"reading": "cells"}, "cells_per_vial": 1e4}
            steps.append(self.bench("plan", operation="plan_fill", parameters=plan))
            steps.append(self.bench("fill", operation="fill", samples={"final": dice.count(1, 3)}))
        else:
            steps.append(self.bench("pack", samples={"final": 1}))
        if self.asking:
            self._keep_people(steps[-1])
        if steps[0]["samples"] and dice.chance(0.4):
            review = {"of": "early", "pass_if": {"at_most": 2}, "on_fail": dice.pick("stop", "give_up", "review"), "max_attempts": 2}
            steps.append(self.bench("review", join=["early"], **review))
        return {"name": "harvest", "steps": steps + self._decisions()}

    def _decisions(self) -> list[Plan]:
        """One step for all markets, or one for each; or nobody decides."""
        dice = self.dice
        if dice.chance(0.1):
            return [self.bench("store")]
        markets = ["release", "second"] if self.two_markets else ["release"]
        steps = [self.bench("decide", decide=markets)]
        if dice.chance(0.15):
            steps = [{"name": "decide", "decide": markets}]
        elif self.two_markets and dice.chance(0.5):
            steps = [self.bench("decide", decide=["release"]), self.bench("decide second", decide=["second"])]
        if self.asking and "needs" in steps[0]:
            self._keep_people(steps[0])
        elif dice.chance(0.65):
            steps[0] = {"name": "decide", "decide": steps[0]["decide"], "needs": {self._role(): 1},
                        **self._amount("deviations_minor", "deviations_major")}
        return steps

    def _keep_people(self, step: Plan) -> None:
        """A step that needs two kinds of people keeps both from others: it takes no hold, so nothing waits for it in turn."""
        crews = [name for name, pool in self.people.items() if "shifts" not in pool]
        crews.sort(key=lambda name: "calendar" in self.people[name])
        if len(crews) > 1 and "calendar" not in self.people[crews[0]]:              # so that both are there at some time
            step.pop("on_down", None)
            step |= {"needs": {crews[0]: 1, crews[1]: 1}, "reserve": True, "shift": "overtime"}

    def _samples(self) -> Plan:
        """Early samples; some may stop the batch."""
        if self.dice.chance(0.4):
            return {}
        sample: Plan = {"n": 1}
        if self.dice.chance(0.65):
            sample |= {"pass_if": {"at_most": self.dice.pick(0.5, 1.0)}, "on_fail": "stop_batch"}
        return {"early": sample}

    def _hold(self, procedure: Plan, k: int, later: list[str]) -> None:
        """Units kept over a procedure; one of the first pool may stay until a step of the next procedure."""
        dice = self.dice
        if dice.chance(0.2 if later else 0.4):
            return
        pools = self.held[k % len(self.held) :][:1] if k < len(self.held) else []
        if not pools:
            return
        name = pools[0]
        rule = dice.pick("wait", {"wait": 0.7, "abort": 0.3}, {"wait": 0.5, "lose": 0.5}, {"wait": 0.5, "abort": 0.5}, "abort")
        hold: Plan = {"pool": name, "on_down": rule}
        if dice.chance(0.2):
            hold |= {"count": 2, "on_down": dice.pick("wait", "wait", "abort")}
            procedure["steps"][0]["reserve"] = False
        if later and dice.chance(0.35):
            hold["until"] = dice.among(later)
        procedure["hold"] = {f"in_{name}": hold}
        if dice.chance(0.15) and hold.get("count", 1) == 1:
            procedure["hold"]["spare"] = {"pool": name}

    def _side_branch(self, procedures: list[Plan]) -> None:
        """A fork and, perhaps, its join or the step that makes it needless."""
        dice = self.dice
        if dice.chance(0.3):
            return
        steps = [step for procedure in procedures for step in procedure["steps"]]
        gates = [k for k, step in enumerate(steps) if "max_attempts" in step and step["name"] != "review"]
        at = dice.among(gates) if gates and dice.chance(0.7) else dice.count(0, len(steps) - 3)
        if "repeat" in steps[at]:
            return
        first = self.bench("image", shift="pause", on_down="wait") if dice.chance(0.75) else self.culture("image")
        if first["duration_h"] in BENCH_H and "per" not in first:
            first["duration_h"] = 10
        if dice.chance(0.3):
            first["window"] = self.window([])
        if self.alive and dice.chance(0.5):
            first["operation"] = "grow_planar"
            first.pop("parameters", None)
        score = self.bench("score", window=self.window(["image"]))
        if dice.chance(0.7):
            score |= {"look": "noise", "pass_if": {"at_most": 0.8}, "on_fail": dice.pick("stop", "stop", "score")}
            score |= {"max_attempts": 2} if score["on_fail"] == "score" else {}
        steps_of_side = [first, score] if dice.chance(0.6) else [first]
        self.branches["side"] = {"steps": steps_of_side, "on_fail": dice.pick("report", "stop_batch", "stop_batch")}
        steps[at]["fork"] = ["side"]
        if "repeat" not in steps[at + 1] and "decide" not in steps[at + 1] and dice.chance(0.4):
            steps[at + 1]["fork"] = ["side"]
        after = [step for step in steps[at + 1 :] if "decide" not in step and "repeat" not in step]
        if after and dice.chance(0.25):
            step = dice.among(after)
            step["join"] = [*step.get("join", []), "side"]
        elif after and dice.chance(0.55):
            self.branches["side"]["until"] = dice.among(after)["name"]

    # ---- laboratory and starts
    def _lab(self) -> tuple[Plan, list[Plan]]:
        dice = self.dice
        self.lab_pools: Plan = {"reader": {"kind": "equipment", "count": dice.count(1, 2)}}
        if dice.chance(0.85):
            self.lab_pools["reader"] |= {"mtbf_h": 15, "mttr_h": dice.pick(2, 8)}
        self.lab_pools["analyst"] = {"kind": "people", "count": dice.count(1, 2)}
        self.lab_pools["analyst"]["calendar"] = dice.pick("day", "split", "split", "weekdays")
        cells: Plan = {"attribute": "viable_cells", "cv": 0.05, "decimals": -3} if self.alive else {"attribute": "none"}
        noise = {"attribute": "none", "sd": 1, "decimals": dice.pick(1, 2), "invalid_rate": dice.pick(0, 0.1), "lod": 0.05}
        assays: Plan = {"noise": noise, "cells": cells, "early": self._assay(), "final": self._assay()}
        if self.alive and dice.chance(0.5):
            assays["final"] |= {"attribute": "viability", "sd": 0.05}
        assays["early"] |= self._kind(assays["early"]["steps"][-1]["name"])
        wide, narrow = ({"at_least": 0.1}, {"at_least": 0.85}) if assays["final"]["attribute"] == "viability" else (
            {"at_most": 2}, {"at_most": 0.5})
        panels = [{"name": "release", "market": "here", "limits": [{"assay": "final", **wide}, {"assay": "cells", "at_least": 0}]},
                  {"name": "second", "market": "there", "limits": [{"assay": "final", **narrow}]}]
        return {"name": "random lab", "pools": self.lab_pools, "assays": assays}, panels if self.two_markets else panels[:1]

    def _assay(self) -> Plan:
        dice = self.dice
        prepare = {"name": "prepare", "needs": {"analyst": 1}, "duration_h": dice.pick(0.5, 1, 4)}
        prepare["shift"] = dice.pick("fit", "pause", "pause")
        read = {"name": "read", "needs": {"analyst": {"count": 1, "for_h": dice.pick(0.5, 4)}, "reader": 1}}
        read |= {"duration_h": dice.pick(1, 6, 24, 24), "shift": dice.pick("fit", "pause", "overtime")}
        read["on_down"] = dice.pick("wait", "wait", "redo", "abort", {"wait": 0.5, "abort": 0.5}, {"redo": 0.5, "abort": 0.5})
        if read["duration_h"] == 24 and read["on_down"] == "abort":
            read["on_down"] = "wait"
        steps = [prepare, read] if dice.chance(0.7) else [read]
        return {"attribute": "none", "sd": 1, "decimals": 1, "invalid_rate": dice.pick(0, 0.1), "retests": dice.pick(0, 0, 1, 2),
                "sample_cells": dice.pick(0, 1e4) if self.alive else 0, "steps": steps, "on_invalid": dice.among(steps)["name"]}

    def _kind(self, last: str) -> Plan:
        """What a fifth of the plants counts in a sample of, or reads in runs; it costs the dice no throw.

        A run is a day, so its error would not move with the calendar: it is put on what is always 0.
        """
        of = {"attribute": "viability"} if self.alive else {}
        bottles = {"kind": "containers", "tested": 3, "detection_h": {"exponential": {"mean": 2}}, "incubation": last}
        if self.seed % 40 < 20:
            bottles["lot"] = 40
        kinds: list[Plan] = [{"cv": 0.05, "run_cv": 0.1, "replicates": 3}, {**of, "sd": 0, **bottles},
                             {**of, "sd": 0, "kind": "count", "tested": 50}, {**of, "sd": 0, "kind": "metaphases", "tested": 20, "call": 2}]
        return kinds[self.seed % 20 - 1] if 1 <= self.seed % 20 <= 4 else {}

    def _start(self) -> Plan:
        dice = self.dice
        start: Plan = dice.pick({"every_d": 1}, {"every_d": 2}, {"every_d": 1.5}, {"poisson_per_year": 250}, {"poisson_per_year": 150}, {})
        start = {**start, "at_most": dice.count(6, 16)}
        if len(start) == 1 or dice.chance(0.6):
            start["wip_cap"] = dice.count(1, 4)
            if dice.chance(0.35):
                start["until"] = "count"
        return start
