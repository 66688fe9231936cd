//! Wrong schedules and what is said about them.

use crate::crm::{RIGHT, check, shown};

/// The right file with another schedule.
fn right_but(schedule: &str) -> String {
    assert!(RIGHT.contains("every: 5m"));
    RIGHT.replacen("every: 5m", schedule, 1)
}

/// What is said about a schedule.
fn scheduled(schedule: &str) -> String {
    let shown = shown(&right_but(schedule));
    // The lines around are always the same.
    let lines = shown
        .lines()
        .filter(|line| !line.contains(" │ ") || line.contains("   cron") || line.contains("·"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn cron_expressions() {
    let all = [
        "cron: \"0 25 * * *\"",
        "cron: '0,61 */0 * 13 *'",
        "cron: 0 6 * * MON,TEU",
        "cron: 0 FRI * * *",
        "cron: 0 6,,18 * * *",
        "cron: 0 22-2 * * *",
        "cron: 5/15 * * * *",
        "cron: \"*/90 * * * *\"",
        "cron: 0 6 * * 1#6",
        "cron: 0 6 * * L",
        "cron: 0 6 * * * *",
        "cron: \"\"",
        "cron: hourly",
        "cron: \"@reboot\"",
        "cron: 0 6 31 2,APR *",
        "cron: 6",
        "cron: */5 * * * *",
    ];
    let shown: Vec<_> = all.iter().map(|schedule| scheduled(schedule)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    TP0180

      × `25` is no hour
       ╭─[a.yaml:7:12]
     7 │   cron: "0 25 * * *"
       ·            ──
       ╰────
      help: hours are 0 to 23: `6`, `6,18`, `8-17`, `*/2`

    TP0180

      × `61` is no minute
       ╭─[a.yaml:7:12]
     7 │   cron: '0,61 */0 * 13 *'
       ·            ──
       ╰────
      help: minutes are 0 to 59: `30`, `0,30`, `0-29`, `*/5`

    TP0180

      × `0` is no step: steps are 1 to 23 here
       ╭─[a.yaml:7:15]
     7 │   cron: '0,61 */0 * 13 *'
       ·               ───
       ╰────
      help: hours are 0 to 23: `6`, `6,18`, `8-17`, `*/2`

    TP0180

      × `13` is no month
       ╭─[a.yaml:7:21]
     7 │   cron: '0,61 */0 * 13 *'
       ·                     ──
       ╰────
      help: months are 1 to 12 or JAN to DEC

    TP0180

      × `TEU` is no weekday
       ╭─[a.yaml:7:21]
     7 │   cron: 0 6 * * MON,TEU
       ·                     ───
       ╰────
      help: weekdays are 0 to 7 (0 and 7 are Sunday) or SUN to SAT, `MON#1` (the first Monday of a
            month) or `5L` (its last Friday)

    TP0180

      × `FRI` is no hour
       ╭─[a.yaml:7:11]
     7 │   cron: 0 FRI * * *
       ·           ───
       ╰────
      help: hours are 0 to 23: `6`, `6,18`, `8-17`, `*/2`

    TP0180

      × an item of the list is empty
       ╭─[a.yaml:7:13]
     7 │   cron: 0 6,,18 * * *
       ·             ─
       ╰────
      help: hours are 0 to 23: `6`, `6,18`, `8-17`, `*/2`

    TP0180

      × `22-2` ends before it begins
       ╭─[a.yaml:7:11]
     7 │   cron: 0 22-2 * * *
       ·           ────
       ╰────
      help: write two ranges: `22-23,0-2`

    TP0180

      × `5/15` has a step, but no range
       ╭─[a.yaml:7:9]
     7 │   cron: 5/15 * * * *
       ·         ────
       ╰────
      help: write `5-59/15`

    TP0180

      × `90` is no step: steps are 1 to 59 here
       ╭─[a.yaml:7:10]
     7 │   cron: "*/90 * * * *"
       ·          ────
       ╰────
      help: longer steps are for the hour, or for an interval: `every: 90m`

    TP0180

      × `1#6` is no weekday
       ╭─[a.yaml:7:17]
     7 │   cron: 0 6 * * 1#6
       ·                 ───
       ╰────
      help: weekdays are 0 to 7 (0 and 7 are Sunday) or SUN to SAT, `MON#1` (the first Monday of a
            month) or `5L` (its last Friday)

    TP0180

      × `L` is no weekday
       ╭─[a.yaml:7:17]
     7 │   cron: 0 6 * * L
       ·                 ─
       ╰────
      help: weekdays are 0 to 7 (0 and 7 are Sunday) or SUN to SAT, `MON#1` (the first Monday of a
            month) or `5L` (its last Friday)

    TP0180

      × a cron expression has five fields, this one has 6
       ╭─[a.yaml:7:19]
     7 │   cron: 0 6 * * * *
       ·                   ─
       ╰────
      help: the fields are minute, hour, day, month, weekday: `30 6 * * 1-5` is 6:30 from Monday to
            Friday; seconds are for `every: 30s`

    TP0180

      × a cron expression has five fields, this one is empty
       ╭─[a.yaml:7:9]
     7 │   cron: ""
       ·         ─
       ╰────
      help: the fields are minute, hour, day, month, weekday: `30 6 * * 1-5` is 6:30 from Monday to
            Friday; seconds are for `every: 30s`

    TP0180

      × a cron expression has five fields, this one has 1
       ╭─[a.yaml:7:9]
     7 │   cron: hourly
       ·         ──────
       ╰────
      help: the fields are minute, hour, day, month, weekday: `30 6 * * 1-5` is 6:30 from Monday to
            Friday; seconds are for `every: 30s`

    TP0180

      × `@reboot` is no schedule
       ╭─[a.yaml:7:10]
     7 │   cron: "@reboot"
       ·          ───────
       ╰────
      help: known: `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`

    TP0181

      × this expression never fires: no month that it names has such a day
       ╭─[a.yaml:7:13]
     7 │   cron: 0 6 31 2,APR *
       ·             ──────────
       ╰────
      help: the longest months have 31 days, February 28 or 29; `L` is the last day of any

    TP0106

      × `cron` is text, not a number
       ╭─[a.yaml:7:9]
     7 │   cron: 6
       ·         ─
       ╰────
      help: put quotes around it

    TP0101

      × there is no anchor for this alias
       ╭─[a.yaml:7:9]
     7 │   cron: */5 * * * *
       ·         ─
       ╰────
      help: put quotes around text that begins with `*`: YAML takes it for an alias
    "#);
}

#[test]
fn schedules_that_do_not_fit_together() {
    let all = [
        "every: 5m\n  cron: 0 6 * * *",
        "every: 5m\n  timezone: Europe/Berlin",
        "timezone: Europe/Berlin",
    ];
    let shown: Vec<_> = all.iter().map(|schedule| scheduled(schedule)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    TP0183

      × `every` and `cron` are both there
       ╭─[a.yaml:8:9]
     8 │   cron: 0 6 * * *
       ·         ─────────
       ╰────
      help: keep one of the two

    TP0183

      × `timezone` says nothing without `cron`
       ╭─[a.yaml:8:13]
       ·             ─────────────
       ╰────
      help: write `cron: "30 6 * * *"` for a time of day, or leave `timezone` out

    TP0183

      × `timezone` says nothing without `cron`
       ╭─[a.yaml:7:13]
       ·             ─────────────
       ╰────
      help: write `cron: "30 6 * * *"` for a time of day, or leave `timezone` out
    "#);
}

#[test]
fn time_zones() {
    let hints =
        ["Europe/Berln", "europe/berlin", "berlin", "New York", "CEST", "+02:00", "", "utc"].map(
            |zone| {
                let text = right_but(&format!("cron: 0 6 * * *\n  timezone: {zone:?}"));
                let (flow, findings) = check(&text);
                assert!(flow.is_none());
                let [finding] = findings.as_slice() else { panic!("{findings:?}") };
                format!("{} {}: {}", finding.code, finding.message, finding.hint.as_ref().unwrap())
            },
        );
    insta::assert_snapshot!(hints.join("\n"), @r"
    TP0182 there is no time zone `Europe/Berln`: did you mean `Europe/Berlin`?
    TP0182 there is no time zone `europe/berlin`: did you mean `Europe/Berlin`?
    TP0182 there is no time zone `berlin`: did you mean `Europe/Berlin`?
    TP0182 there is no time zone `New York`: did you mean `America/New_York`?
    TP0182 there is no time zone `CEST`: did you mean `CET`?
    TP0182 there is no time zone `+02:00`: write the zone's IANA name, such as `Europe/Berlin`, `America/New_York` or `UTC`
    TP0182 there is no time zone ``: write the zone's IANA name, such as `Europe/Berlin`, `America/New_York` or `UTC`
    TP0182 there is no time zone `utc`: did you mean `UTC`?
    ");
}
