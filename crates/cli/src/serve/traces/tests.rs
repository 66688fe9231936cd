//! Traces as a collector gets them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use connector::ManualClock;
use store::Counts;

use super::*;

/// A collector on loopback that takes one request, and gives its path and body.
fn collector() -> (String, JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let took = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length:").nth(1).unwrap().lines().next().unwrap();
        let mut body = vec![0; length.trim().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body)
    });
    (url, took)
}

/// The fields of a protobuf message: number and bytes, of fixed numbers too.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = vec![];
    while !bytes.is_empty() {
        let tag = number(&mut bytes);
        let length = match tag & 7 {
            0 => {
                number(&mut bytes);
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(&mut bytes)).unwrap(),
            _ => 4,
        };
        let (value, rest) = bytes.split_at(length);
        found.push((tag >> 3, value.to_vec()));
        bytes = rest;
    }
    found
}

#[derive(Debug, PartialEq)]
struct Span {
    name: String,
    id: Vec<u8>,
    parent: Vec<u8>,
    seconds: (u64, u64),
}

/// The spans of an export request.
fn spans(body: &[u8]) -> Vec<Span> {
    let inner = |bytes: &[u8], wanted: u64| -> Vec<Vec<u8>> {
        let found = fields(bytes).into_iter().filter(|(number, _)| *number == wanted);
        found.map(|(_, bytes)| bytes).collect()
    };
    let of_resource = inner(body, 1);
    let of_scope = of_resource.iter().flat_map(|resource| inner(resource, 2));
    let spans = of_scope.flat_map(|scope| inner(&scope, 2));
    spans
        .map(|span| {
            let one = |number| inner(&span, number).into_iter().next().unwrap_or_default();
            let seconds =
                |number| u64::from_le_bytes(one(number).try_into().unwrap()) / 1_000_000_000;
            Span {
                name: String::from_utf8(one(5)).unwrap(),
                id: one(2),
                parent: one(4),
                seconds: (seconds(7), seconds(8)),
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_a_run_is_a_trace_of_its_pages_and_calls() {
    let (url, took) = collector();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000)));
    let traces = Traces::to(Some(&url), clock.clone()).unwrap();
    let second = Duration::from_secs(1);
    let place = Place {
        flow: "newsletter".to_owned(),
        step: Some("profiles".to_owned()),
        account: "engagement".to_owned(),
    };
    // One that finds nothing, and of whose end nobody hears, is no trace.
    traces.on(&Event::Began { flow: "newsletter", run: "newsletter-1" });
    traces.on(&Event::Began { flow: "newsletter", run: "newsletter-2" });
    for _ in 0..2 {
        clock.advance(second * 2);
        traces.on(&Event::Retrying { place: &place, tries: 1, wait: second, reason: "busy" });
        traces.on(&Event::Called { place: &place, messages: 3, took: second });
        let counts = Counts { records: 3, delivered: 3, ..Counts::default() };
        traces.on(&Event::Committed { flow: "newsletter", counts, took: Some(second) });
    }
    clock.advance(second);
    let report = Report::default();
    let at = Timestamp::from_secs(1_000);
    traces.ran(&Ran { flow: "newsletter", due: at, started: at, report: &report, next: None });
    tokio::task::spawn_blocking(move || traces.end()).await.unwrap();

    let (head, body) = took.join().unwrap();
    assert!(head.starts_with("post /v1/traces"), "{head}");
    let spans = spans(&body);
    let of = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (runs, pages, calls) = (of("run"), of("page"), of("call"));
    assert_eq!((runs.len(), pages.len(), calls.len()), (1, 2, 2), "{spans:?}");
    assert_eq!((runs[0].parent.len(), runs[0].seconds), (0, (1_000, 1_005)));
    for (at, (page, call)) in (0..).zip(pages.iter().zip(&calls)) {
        assert_eq!((&page.parent, page.seconds), (&runs[0].id, (1_000 + 2 * at, 1_002 + 2 * at)));
        assert_eq!((&call.parent, call.seconds), (&page.id, (1_001 + 2 * at, 1_002 + 2 * at)));
    }
    let text = String::from_utf8_lossy(&body);
    for told in ["towpath", "newsletter-2", "profiles", "engagement", "completed", "busy"] {
        assert!(text.contains(told), "{told} is not in the request");
    }
    assert!(!text.contains("newsletter-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_without_a_collector_nothing_is_held_up() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_000)));
    // A port that nobody listens at any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let traces = Traces::to(Some(&format!("http://{port}/v1/traces")), clock).unwrap();
    traces.on(&Event::Began { flow: "a", run: "a-1" });
    traces.on(&Event::Committed { flow: "a", counts: Counts::default(), took: None });
    tokio::task::spawn_blocking(move || traces.end()).await.unwrap();
}
