//! Events of `tracing` as JSON lines, in the form that everything else of the log has.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes each event as an object in one line.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        if fields.event.is_empty() {
            // Some programs name their events instead of saying what happened.
            metadata.name().clone_into(&mut fields.event);
        }
        let line = super::line(&level, metadata.target(), &fields.event, fields.others);
        writeln!(writer, "{line}")
    }
}

/// What an event has: its words, and everything else by name. A dot in a name makes an object of
/// what is before it (`counts.delivered`).
#[derive(Default)]
struct Fields {
    event: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name().split_once('.') {
            Some((outer, inner)) => {
                let outer = self.others.entry(outer).or_insert_with(|| Map::new().into());
                if let Some(outer) = outer.as_object_mut() {
                    outer.insert(inner.to_owned(), value);
                }
            }
            None => drop(self.others.insert(field.name().to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.event);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_an_object_in_one_line() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt().event_format(Lines);
        let subscriber = lines.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let step: Option<&str> = None;
            let (flow, took) = ("newsletter", 0.5);
            tracing::info!(flow, step, took, counts.delivered = 3_u64, error = %"two\nlines", "ran");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let mut line: Value = serde_json::from_str(text.trim_end_matches('\n')).unwrap();
        assert!(line["time"].is_string());
        line.as_object_mut().unwrap().remove("time");
        assert_eq!(
            line,
            serde_json::json!({
                "level": "info", "target": module_path!(), "event": "ran", "flow": "newsletter",
                "took": 0.5, "counts": { "delivered": 3 }, "error": "two\nlines",
            })
        );
    }
}
