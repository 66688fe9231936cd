//! The clock and chance of jsonata-rs, fixed to a moment.
//!
//! The engine binds its own `$now` when it starts, over anything bound before. So ours are bound
//! under other names, and an expression that needs them runs inside a block that renames them.

use std::cell::Cell;

use ::jsonata_rs::{Error, FunctionContext, JsonAta, Result, Value};

use crate::Moment;

/// The functions that differ from call to call.
const FICKLE: [&str; 4] = ["now", "millis", "random", "uuid"];
const BEFORE: &str = "($now := $towpath_now; $millis := $towpath_millis; \
                      $random := $towpath_random; $uuid := $towpath_uuid; ";

thread_local! {
    /// The time and the state of chance. The engine takes plain functions, which hold nothing.
    static MOMENT: Cell<(i64, u64)> = const { Cell::new((0, 0)) };
}

/// What stands before an expression.
pub(super) fn before(source: &str) -> &'static str {
    if FICKLE.iter().any(|name| source.contains(name)) { BEFORE } else { "" }
}

/// What stands behind it.
pub(super) fn after(source: &str) -> &'static str {
    if before(source).is_empty() { "" } else { ")" }
}

/// Binds the functions, for one evaluation on this thread.
pub(super) fn bind(run: &JsonAta<'_>, at: &Moment) {
    MOMENT.set((at.now_ms, at.seed));
    run.register_function("towpath_now", 2, now);
    run.register_function("towpath_millis", 0, millis);
    run.register_function("towpath_random", 0, random);
    run.register_function("towpath_uuid", 0, uuid);
}

fn now<'a>(context: FunctionContext<'a, '_>, args: &[&'a Value<'a>]) -> Result<&'a Value<'a>> {
    if args.len() > 2 {
        return Err(Error::T0410ArgumentNotValid(context.char_index, 3, "now".to_owned()));
    }
    let mut given = vec![time(&context)];
    given.extend(args.iter().filter(|arg| !arg.is_undefined()));
    match context.frame.lookup("fromMillis") {
        Some(format) => context.evaluate_function(format, &given),
        None => Err(Error::T1006InvokedNonFunction(context.char_index)),
    }
}

fn millis<'a>(context: FunctionContext<'a, '_>, args: &[&'a Value<'a>]) -> Result<&'a Value<'a>> {
    no_arguments(&context, args, "millis")?;
    Ok(time(&context))
}

fn random<'a>(context: FunctionContext<'a, '_>, args: &[&'a Value<'a>]) -> Result<&'a Value<'a>> {
    no_arguments(&context, args, "random")?;
    // The upper 53 bits fill a float from 0 to 1 evenly.
    let number = (draw() >> 11) as f64 / (1_u64 << 53) as f64;
    Ok(Value::number(context.arena, number))
}

fn uuid<'a>(context: FunctionContext<'a, '_>, args: &[&'a Value<'a>]) -> Result<&'a Value<'a>> {
    no_arguments(&context, args, "uuid")?;
    // Version 4, variant 1 (RFC 9562, section 5.4).
    let high = draw() & !0xf000 | 0x4000;
    let low = draw() & !(0b11 << 62) | (0b10 << 62);
    let text = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    Ok(Value::string(context.arena, &text))
}

fn time<'a>(context: &FunctionContext<'a, '_>) -> &'a Value<'a> {
    // Milliseconds of any date that can be shown are exact as a float.
    let millis = MOMENT.get().0 as f64;
    Value::number(context.arena, millis)
}

fn no_arguments(context: &FunctionContext<'_, '_>, args: &[&Value<'_>], name: &str) -> Result<()> {
    if args.is_empty() {
        return Ok(());
    }
    Err(Error::T0410ArgumentNotValid(context.char_index, 1, name.to_owned()))
}

/// The next number of SplitMix64, whose neighbouring seeds are as good as distant ones.
fn draw() -> u64 {
    let (now, state) = MOMENT.get();
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    MOMENT.set((now, state));
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
