//! Halves a batch whose tries are exhausted, until the messages at fault stand alone. Pure.
//!
//! Halves are tried level by level, each once: what is left over of a batch with one bad message
//! passes soon, and shows that the system is there. Where nothing passes, it is the system that is
//! sick, and the batch fails as it is.

use std::collections::VecDeque;

/// So many parts in a row may fail before it is concluded that the system is sick: the whole, its
/// halves and their quarters.
const IN_A_ROW: usize = 7;

/// Messages that are sent together, by their places in the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) places: Vec<usize>,
    /// Whether it is tried only once, because more of its kind are to come.
    pub(crate) once: bool,
}

/// What is still to be sent of a batch.
#[derive(Debug)]
pub(crate) struct Narrowing {
    parts: VecDeque<Part>,
    in_a_row: usize,
}

/// What a part that failed means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It is narrowed down further.
    Narrowed,
    /// A message exhausted its tries alone.
    Alone(usize),
    /// Nothing passes.
    Sick,
}

impl Narrowing {
    /// All messages of a batch, by the calls that they go with.
    pub(crate) fn new(calls: Vec<Vec<usize>>) -> Self {
        let parts = calls.into_iter().map(|places| Part { places, once: false });
        Self { parts: parts.collect(), in_a_row: 0 }
    }

    /// Whether nothing is still to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What is sent next.
    pub(crate) fn next(&mut self) -> Option<Part> {
        self.parts.pop_front()
    }

    /// Sends parts before all others: what the system refused as a whole, in halves.
    pub(crate) fn first(&mut self, places: Vec<usize>, once: bool) {
        self.parts.push_front(Part { places, once });
    }

    /// Gives back everything that is still to be sent.
    pub(crate) fn drain(&mut self) -> Vec<usize> {
        self.parts.drain(..).flat_map(|part| part.places).collect()
    }

    /// The system took a message of some part, or refused one by itself: it is there.
    pub(crate) const fn passed(&mut self) {
        self.in_a_row = 0;
    }

    /// The tries of a part are exhausted.
    pub(crate) fn failed(&mut self, mut places: Vec<usize>, once: bool) -> Failed {
        self.in_a_row += 1;
        match *places.as_slice() {
            [] => Failed::Narrowed,
            [place] if !once => Failed::Alone(place),
            _ if self.in_a_row >= IN_A_ROW => Failed::Sick,
            [_] => {
                self.parts.push_back(Part { places, once: false });
                Failed::Narrowed
            }
            _ => {
                let second = places.split_off(places.len() / 2);
                self.parts.extend([places, second].map(|places| Part { places, once: true }));
                Failed::Narrowed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a batch of `messages` to a system that fails with any of `bad`: what stands alone at
    /// the end, how many parts were sent, and how many of them failed; `None` if it seems sick.
    fn narrow(messages: usize, bad: &[usize]) -> Option<(Vec<usize>, usize, usize)> {
        let (mut narrowing, mut alone) = (Narrowing::new(vec![(0..messages).collect()]), vec![]);
        let (mut sent, mut failed) = (0, 0);
        while let Some(Part { places, once }) = narrowing.next() {
            sent += 1;
            if !places.iter().any(|place| bad.contains(place)) {
                narrowing.passed();
                continue;
            }
            failed += 1;
            match narrowing.failed(places, once) {
                Failed::Narrowed => {}
                Failed::Alone(place) => alone.push(place),
                Failed::Sick => return None,
            }
        }
        alone.sort_unstable();
        Some((alone, sent, failed))
    }

    #[test]
    fn bad_messages_stand_alone_and_a_sick_system_is_left_soon() {
        assert_eq!(narrow(1000, &[]), Some((vec![], 1, 0)));
        // Ten levels of two, the whole, and the one at fault once more with all its tries.
        assert_eq!(narrow(1024, &[700]), Some((vec![700], 22, 12)));
        for bad in [vec![0], vec![999], vec![3, 4], vec![0, 250, 500]] {
            let (alone, sent, failed) = narrow(1000, &bad).unwrap();
            assert_eq!(alone, bad);
            assert!(failed <= sent, "{bad:?} {sent} {failed}");
        }
        assert_eq!(narrow(1000, &(0..1000).collect::<Vec<_>>()), None);
        // Where hundreds beside one another fail, no single message is at fault.
        assert_eq!(narrow(1000, &(0..250).collect::<Vec<_>>()), None);
        assert_eq!(narrow(1, &[0]), Some((vec![0], 1, 1)));
        // Two that are both bad may be a sick system: seven in a row are not reached.
        assert_eq!(narrow(2, &[0, 1]), Some((vec![0, 1], 5, 5)));
    }
}
