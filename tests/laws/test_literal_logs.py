"""Twelve tiny plants with their whole log, worked out by hand from the rules."""

from tests.laws.plants import lines, log, play


def test_ties():
    """Two batches of one second, one robot: batch 0 first; at 1:00 batch 1, in line since 0:00, goes before the feed of batch 0."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1}, {name: feed, needs: {robot: 1}, duration_h: 1}]
        """)

    assert log(done) == lines("""
        from  to    what     batch  step  unit     why
        0:00  0:00  QUEUED   0      seed
        0:00  1:00  QUEUED   1      seed
        0:00  1:00  WORKED   0      seed
        0:00  1:00  WORKING  0      seed  robot 0
        1:00  2:00  QUEUED   0      feed
        1:00  2:00  WORKED   1      seed
        1:00  2:00  WORKING  1      seed  robot 0
        0:00  3:00  LEFT     0      feed           finished
        2:00  3:00  QUEUED   1      feed
        2:00  3:00  WORKED   0      feed
        2:00  3:00  WORKING  0      feed  robot 0
        0:00  4:00  LEFT     1      feed           finished
        3:00  4:00  WORKED   1      feed
        3:00  4:00  WORKING  1      feed  robot 0
        """)


SHIFT = """
    pools: {{operator: {{kind: people, count: 1, calendar: day}}, tank: {{kind: equipment, count: 1}}}}
    calendars: {{day: {{hours: ["08:00-16:00"]}}}}
    hold: {{vessel: tank}}
    steps: [{{name: mix, needs: {{operator: 1}}, duration_h: 5}}, {{name: fill, needs: {{operator: 1}}, duration_h: 5, shift: {shift}}}]
    """


def test_fit():
    """At 13:00 five hours do not fit before 16:00: filling waits for the next day, and the tank is blocked."""
    assert log(play(SHIFT.format(shift="fit"))) == lines("""
        from   to     what     batch  step  unit        why
        0:00   8:00   QUEUED   0      mix
        8:00   13:00  WORKED   0      mix
        8:00   13:00  WORKING  0      mix   operator 0
        8:00   13:00  WORKING  0      mix   tank 0
        13:00  32:00  QUEUED   0      fill
        13:00  32:00  HELD     0      fill  tank 0
        0:00   37:00  LEFT     0      fill              finished
        32:00  37:00  WORKED   0      fill
        32:00  37:00  WORKING  0      fill  operator 0
        32:00  37:00  WORKING  0      fill  tank 0
        """)


def test_overtime():
    """Filling starts at 13:00 while the pool is open, and ends two hours after closing."""
    assert log(play(SHIFT.format(shift="overtime"))) == lines("""
        from   to     what     batch  step  unit        why
        0:00   8:00   QUEUED   0      mix
        8:00   13:00  WORKED   0      mix
        8:00   13:00  WORKING  0      mix   operator 0
        8:00   13:00  WORKING  0      mix   tank 0
        13:00  13:00  QUEUED   0      fill
        0:00   18:00  LEFT     0      fill              finished
        13:00  18:00  WORKED   0      fill
        13:00  18:00  WORKING  0      fill  operator 0
        13:00  18:00  WORKING  0      fill  tank 0
        """)


def test_pause():
    """Filling stops at 16:00 after three hours and goes on for two at 8:00; the tank stays taken."""
    assert log(play(SHIFT.format(shift="pause"))) == lines("""
        from   to     what     batch  step  unit        why
        0:00   8:00   QUEUED   0      mix
        8:00   13:00  WORKED   0      mix
        8:00   13:00  WORKING  0      mix   operator 0
        8:00   13:00  WORKING  0      mix   tank 0
        13:00  13:00  QUEUED   0      fill
        13:00  16:00  WORKED   0      fill              pause
        13:00  16:00  WORKING  0      fill  operator 0
        13:00  16:00  WORKING  0      fill  tank 0
        16:00  32:00  STOPPED  0      fill
        16:00  32:00  HELD     0      fill  tank 0
        0:00   34:00  LEFT     0      fill              finished
        32:00  34:00  WORKED   0      fill
        32:00  34:00  WORKING  0      fill  operator 0
        32:00  34:00  WORKING  0      fill  tank 0
        """)


def test_wait():
    """The robot fails at 2:00 and is repaired at 3:00; the operator is free meanwhile; half an hour is left to work."""
    done = play("""
        horizon_d: 0.2
        pools: {operator: {kind: people, count: 1}, robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        steps: [{name: seed, needs: {operator: 1, robot: 1}, duration_h: 2.5, on_down: wait}]
        """)

    assert log(done) == lines("""
        from  to    what     batch  step  unit        why
        0:00  0:00  QUEUED   0      seed
        0:00  2:00  WORKED   0      seed              breakdown:robot
        0:00  2:00  WORKING  0      seed  operator 0
        0:00  2:00  WORKING  0      seed  robot 0
        2:00  3:00  STOPPED  0      seed
        2:00  3:00  DOWN                  robot 0
        0:00  3:30  LEFT     0      seed              finished
        3:00  3:30  WORKED   0      seed
        3:00  3:30  WORKING  0      seed  operator 0
        3:00  3:30  WORKING  0      seed  robot 0
        """)


def test_redo():
    """The robot fails at 2:00, one hour into the step: a second visit does all of it, from 3:00 on."""
    done = play("""
        horizon_d: 0.2
        pools: {operator: {kind: people, count: 1}, robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        steps: [{name: thaw, duration_h: 1}, {name: seed, needs: {operator: 1, robot: 1}, duration_h: 1.5, on_down: redo}]
        """)

    assert log(done) == lines("""
        from  to    what     batch  step    unit        why
        0:00  0:00  QUEUED   0      thaw
        0:00  1:00  WORKED   0      thaw
        1:00  1:00  QUEUED   0      seed
        1:00  2:00  WORKED   0      seed                breakdown:robot
        1:00  2:00  WORKING  0      seed    operator 0
        1:00  2:00  WORKING  0      seed    robot 0
        2:00  3:00  QUEUED   0      seed#2
        2:00  3:00  DOWN                    robot 0
        0:00  4:30  LEFT     0      seed#2              finished
        3:00  4:30  WORKED   0      seed#2
        3:00  4:30  WORKING  0      seed#2  operator 0
        3:00  4:30  WORKING  0      seed#2  robot 0
        """)


def test_abort():
    """Batch 0 is done at 1:30; batch 1 is at work when the robot fails at 2:00, and is aborted."""
    done = play("""
        horizon_d: 0.15
        start: {wip_cap: 2, at_most: 2}
        pools: {robot: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 1}}
        steps: [{name: seed, needs: {robot: 1}, duration_h: 1.5, on_down: abort}]
        """)

    assert log(done) == lines("""
        from  to    what     batch  step  unit     why
        0:00  0:00  QUEUED   0      seed
        0:00  1:30  QUEUED   1      seed
        0:00  1:30  WORKED   0      seed
        0:00  1:30  LEFT     0      seed           finished
        0:00  1:30  WORKING  0      seed  robot 0
        0:00  2:00  LEFT     1      seed           aborted:breakdown:robot
        1:30  2:00  WORKED   1      seed           breakdown:robot
        1:30  2:00  WORKING  1      seed  robot 0
        2:00  3:00  DOWN                  robot 0
        """)


def test_set_aside():
    """The reactor is down from 2:00 to 4:00 while its batch waits for an operator: set aside, so not served at 3:00, but at 4:30."""
    done = play("""
        horizon_d: 0.25
        pools: {operator: {kind: people, count: 1, calendar: rounds}, reactor: {kind: equipment, count: 1, mtbf_h: 2, mttr_h: 2}}
        calendars: {rounds: {hours: ["03:00-03:30", "04:30-06:00"]}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 1}, {name: feed, needs: {operator: 1}, duration_h: 0.5}]
        """)

    assert log(done) == lines("""
        from  to    what     batch  step  unit        why
        0:00  0:00  QUEUED   0      grow
        0:00  1:00  WORKED   0      grow
        0:00  1:00  WORKING  0      grow  reactor 0
        1:00  2:00  QUEUED   0      feed
        1:00  2:00  HELD     0      feed  reactor 0
        2:00  4:00  QUEUED   0      feed              aside
        2:00  4:00  DOWN                  reactor 0
        4:00  4:30  QUEUED   0      feed
        4:00  4:30  HELD     0      feed  reactor 0
        0:00  5:00  LEFT     0      feed              finished
        4:30  5:00  WORKED   0      feed
        4:30  5:00  WORKING  0      feed  operator 0
        4:30  5:00  WORKING  0      feed  reactor 0
        """)


def test_cleaning_after_an_abort():
    """The gate stops batch 0 at 2:00; its reactor is cleaned by the operator before batch 1 gets it at 3:00."""
    done = play("""
        start: {wip_cap: 2, at_most: 2}
        pools: {operator: {kind: people, count: 1}, reactor: {kind: equipment, count: 1, cleaning: {duration_h: 1, needs: {operator: 1}}}}
        assays: {density: {attribute: none}}
        hold: {vessel: reactor}
        steps: [{name: grow, duration_h: 2, look: density, pass_if: {at_least: 1}}]
        """)

    assert log(done) == lines("""
        from  to    what      batch  step  unit        why
        0:00  0:00  QUEUED    0      grow
        0:00  2:00  WORKED    0      grow
        0:00  2:00  LEFT      0      grow              aborted:density
        0:00  2:00  WORKING   0      grow  reactor 0
        2:00  2:00  MEASURED  0      grow  density=0
        2:00  2:00  DECIDED   0      grow  gate=1      density
        0:00  3:00  QUEUED    1      grow
        2:00  3:00  WORKING                operator 0
        2:00  3:00  CLEANING               reactor 0
        0:00  5:00  LEFT      1      grow              aborted:density
        3:00  5:00  WORKED    1      grow
        3:00  5:00  WORKING   1      grow  reactor 0
        5:00  5:00  MEASURED  1      grow  density=0
        5:00  5:00  DECIDED   1      grow  gate=1      density
        5:00  6:00  WORKING                operator 0
        5:00  6:00  CLEANING               reactor 0
        """)


def test_fork_visited_twice():
    """The reading of 0 sends the batch back, that of 1 lets it go on. The first scan is superseded at 2:00 while at work: it ends its step,
    and the second one has the camera after it; only the second is waited for."""
    done = play("""
        pools: {camera: {kind: equipment, count: 1}}
        assays: {density: {attribute: none, sd: 1, decimals: 0}}
        branches: {image: {steps: [{name: scan, needs: {camera: 1}, duration_h: 3}]}}
        steps:
        - {name: seed, duration_h: 1, fork: [image], look: density, pass_if: {at_least: 1}, on_fail: seed}
        - {name: finish, join: [image]}
        """, seed=7)

    assert log(done) == lines("""
        from  to    what      batch  step    unit       why
        0:00  0:00  QUEUED    0      seed
        0:00  1:00  WORKED    0      seed
        1:00  1:00  QUEUED    0      seed#2
        1:00  1:00  QUEUED    0.1    scan
        1:00  1:00  MEASURED  0      seed    density=0
        1:00  1:00  DECIDED   0      seed    gate=1     retry
        1:00  2:00  WORKED    0      seed#2
        2:00  2:00  MEASURED  0      seed#2  density=1
        2:00  2:00  DECIDED   0      seed#2  gate=0
        1:00  4:00  WORKED    0.1    scan
        1:00  4:00  LEFT      0.1    scan               superseded
        1:00  4:00  WORKING   0.1    scan    camera 0
        2:00  4:00  QUEUED    0.2    scan
        0:00  7:00  LEFT      0      finish             finished
        2:00  7:00  QUEUED    0      finish             join
        2:00  7:00  LEFT      0.2    scan               joined
        4:00  7:00  WORKED    0.2    scan
        4:00  7:00  WORKING   0.2    scan    camera 0
        7:00  7:00  QUEUED    0      finish
        7:00  7:00  WORKED    0      finish
        """)


def test_cancelled_samples():
    """The batch is stopped at 2:00. Its sample in line and the one in culture leave in that second; the one at work ends its step and
    leaves without a reading."""
    done = play("""
        pools: {hplc: {kind: equipment, count: 1}}
        assays:
          density: {attribute: none}
          purity: {attribute: none, steps: [{name: inject, needs: {hplc: 1}, duration_h: 3}]}
          identity: {attribute: none, steps: [{name: inject, needs: {hplc: 1}, duration_h: 1}]}
          sterility: {attribute: none, steps: [{name: read, window: {target_h: 24}}]}
        steps:
        - {name: fill, samples: {purity: 1, identity: 1, sterility: 1}}
        - {name: hold, duration_h: 2, look: density, pass_if: {at_least: 1}}
        """)

    assert log(done) == lines("""
        from  to    what      batch  step             unit       why
        0:00  0:00  QUEUED    0      fill
        0:00  0:00  QUEUED    0      hold
        0:00  0:00  QUEUED    0.1    purity.inject
        0:00  0:00  WORKED    0      fill
        0:00  2:00  QUEUED    0.2    identity.inject
        0:00  2:00  WORKED    0      hold
        0:00  2:00  LEFT      0      hold                        aborted:density
        0:00  2:00  LEFT      0.2    identity.inject             cancelled
        0:00  2:00  LEFT      0.3    sterility.read              cancelled
        2:00  2:00  MEASURED  0      hold             density=0
        2:00  2:00  DECIDED   0      hold             gate=1     density
        0:00  3:00  WORKED    0.1    purity.inject
        0:00  3:00  LEFT      0.1    purity.inject               cancelled
        0:00  3:00  WORKING   0.1    purity.inject    hplc 0
        """)


def test_stop_batch():
    """The karyotype of the seeding, out of its limit at 4:00, stops the growth of ten hours; people are freed, the reactor is cleaned."""
    done = play("""
        pools:
          operator: {kind: people, count: 1}
          analyst: {kind: people, count: 1}
          reactor: {kind: equipment, count: 1, cleaning: {duration_h: 1}}
        assays: {karyotype: {attribute: none, retests: 0, steps: [{name: stain, needs: {analyst: 1}, duration_h: 3}]}}
        hold: {vessel: reactor}
        steps:
        - {name: seed, duration_h: 1, samples: {karyotype: {pass_if: {at_least: 1}, on_fail: stop_batch}}}
        - {name: grow, needs: {operator: 1}, duration_h: 10}
        """)

    assert log(done) == lines("""
        from  to    what      batch  step             unit         why
        0:00  0:00  QUEUED    0      seed
        0:00  1:00  WORKED    0      seed
        0:00  1:00  WORKING   0      seed             reactor 0
        1:00  1:00  QUEUED    0      grow
        1:00  1:00  QUEUED    0.1    karyotype.stain
        0:00  4:00  LEFT      0      grow                          aborted:karyotype
        1:00  4:00  WORKED    0      grow                          karyotype
        1:00  4:00  WORKED    0.1    karyotype.stain
        1:00  4:00  LEFT      0.1    karyotype.stain               joined
        1:00  4:00  WORKING   0      grow             operator 0
        1:00  4:00  WORKING   0      grow             reactor 0
        1:00  4:00  WORKING   0.1    karyotype.stain  analyst 0
        4:00  4:00  MEASURED  0.1    karyotype.stain  karyotype=0
        4:00  5:00  CLEANING                          reactor 0
        """)
