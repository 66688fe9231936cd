//! The page of dead letters: the refusals that every trigger and action may meet.

use connector::Rejection;

use super::markdown::{page, quoted, table};

const INTRO: &str = "\
A message that is refused, by a mapping or by the system that it goes to, becomes a dead letter: it is
kept with its code, its reason and the whole message, sealed. The others of its page go on. A dead
letter is settled: an unchanged record is not sent again because of it; its next change is.

```console
towpath dead-letters list               # what was refused, and is open
towpath dead-letters show 3f9a          # why, the whole message, and what to do next
towpath dead-letters replay --code T2001    # what a corrected mapping takes now
towpath dead-letters edit 3f9a          # another message in its place
towpath dead-letters drop 3f9a          # for good
towpath why 279                         # all that happened to one record
```

A replay runs the flow as it is now, from the step that refused the message, with the results so far
that were kept; what the trigger's mapping refused is mapped again. Where two ways of the flow meet, the
message goes on with the results of both, as soon as the second one is through. Messages of one record
go in the order in which they came, whatever their times say. What a replay sent is marked in the commit that settles it. After a crash between the two
it is still open: the next replay sends it again, which an idempotent action takes as the same.

| state | |
|---|---|
| open | somebody has to decide |
| replayed | it was sent after all; what a later step refuses of it is a dead letter of that step |
| superseded | a newer message of the same record was delivered, filtered out or handed over at that step, before or after this one was refused: sending the older one would put old data over new. `--force` does; refused again, it stays superseded |

[The guide](../guide/dead-letters.md) takes a refused message all the way.

When too many messages of a page are refused ([`maxRejects`](flow-file.md#maxrejects)), the flow
stops instead and the page is not committed.

Codes of one action's own are on its connector's page. These may come from every one:";

const AS_ABOVE: &str = "as above";

/// In the order of a message's way.
pub(super) const EVERYWHERE: &[Rejection] = &[
    Rejection::new(
        "input.unreadable",
        "the message is not JSON that can be read",
        "this is a mistake in the trigger or in towpath; please report it",
    ),
    Rejection::new(
        "T<number>",
        "an expression met a value of the wrong type (JSONata's own code)",
        "the reason has line and column of the expression; try it by a test of the flow file",
    ),
    Rejection::new(
        "D<number>",
        "an expression could not be evaluated (JSONata's own code), nests too deeply (`D1011`) or \
         takes too long (`D1012`)",
        AS_ABOVE,
    ),
    Rejection::new("S<number>", "what an expression evaluates by `$eval` is no JSONata", AS_ABOVE),
    Rejection::new(
        "U<number>",
        "a size limit was met (`U1001`), a value cannot be read (`U1004`), there were too many \
         steps (`U1006`), or the engine failed (`U1007`)",
        AS_ABOVE,
    ),
    Rejection::new(
        "mapping.nothing",
        "the mapping gave nothing",
        "filter such messages out by `when`, or give something in every case",
    ),
    Rejection::new(
        "mapping.array",
        "the mapping gave an array where one message is meant",
        "take one of its items: `[0]`; one record is one message",
    ),
    Rejection::new(
        "mapping.metadata",
        "the mapping gave `metadata` that is not an object",
        "give an object, or leave `metadata` out: then it stays as it is",
    ),
    Rejection::new(
        "input.shape",
        "what the mapping gave is not what the action takes",
        "the reason names the key; the action's page lists what it takes",
    ),
    Rejection::new(
        "path",
        "an id cannot stand in the address of a request",
        "correct the id where the record comes from",
    ),
    Rejection::new(
        "unwritable",
        "the input cannot be written as JSON",
        "this is a mistake in the connector; please report it",
    ),
    Rejection::new(
        "tooLarge",
        "one message alone is too large for the system",
        "send less of it by a `customMapping`",
    ),
    Rejection::new(
        "inDoubt",
        "it was sent by an action that must not be repeated, and nobody knows whether it arrived",
        "look for it in the system, then drop or replay it; \
         [`inDoubt: resend`](flow-file.md#steps) sends such messages again instead",
    ),
    Rejection::new(
        "http<status>",
        "the system refuses the request by this HTTP status and gives no code of its own",
        "the system's words are in the reason",
    ),
];

/// What can be done about a refusal with this code, by an action with these refusals of its own.
pub(crate) fn way_out(code: &str, own: &'static [Rejection]) -> Option<&'static str> {
    if let Some(own) = own.iter().find(|it| it.covers(code)) {
        return Some(own.way_out);
    }
    let at = EVERYWHERE.iter().position(|it| it.covers(code))?;
    // Some say that it is as with the one above.
    let said = EVERYWHERE.iter().take(at + 1).rev().find(|it| it.way_out != AS_ABOVE);
    said.map(|it| it.way_out)
}

/// The page, in Markdown.
pub(super) fn render() -> String {
    let rows =
        EVERYWHERE.iter().map(|it| [quoted(it.code), it.meaning.to_owned(), it.way_out.to_owned()]);
    page([
        "# Dead letters".to_owned(),
        super::GENERATED.to_owned(),
        INTRO.to_owned(),
        table(["code", "meaning", "way out"], rows),
    ])
}
