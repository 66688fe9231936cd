//! A page of a run between its fetch and its commit: held against what was settled, and delivered.

use std::sync::Arc;

use connector::Want;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::backfill::Of;
use crate::context::Context;
use crate::deliver;
use crate::detect::{Candidates, Detected, Emitted, Names};
use crate::fetch::Fetched;
use crate::identity::Identity;
use crate::run::Run;
use crate::seen::SeenTable;
use crate::settled::Settled;
use crate::snapshot::ScanState;
use crate::step::Origin;
use crate::task::Task;

/// A page between its fetch and its commit.
pub(crate) struct InFlight {
    pub(crate) of: Of,
    pub(crate) detected: Detected,
    /// The scan as it stands behind this page; `None` as cursor means that it is complete.
    pub(crate) scan: ScanState,
    /// Up to where it takes what is in the inbox.
    pub(crate) taken: Option<u64>,
    /// Where the next scan begins, if this page ends one of what is appended.
    pub(crate) position: Option<Value>,
}

/// A page's messages that are still to be delivered.
pub(crate) struct Waiting {
    emitted: Vec<Emitted>,
    /// When the system was asked for them.
    asked: u64,
    unmapped: OwnedSemaphorePermit,
}

impl Run {
    /// Holds a page against what was settled, and moves the scan behind it.
    pub(crate) fn detect(
        &mut self,
        of: Of,
        partition: &str,
        ahead: &mut ScanState,
        fetched: Fetched,
        sequence: u64,
    ) -> (InFlight, Waiting) {
        let context = &self.context;
        let trigger = &context.flow.trigger;
        let rules = self.snapshot.rules(of);
        let mut unread = SeenTable::default();
        let seen = self.seen.as_mut().unwrap_or(&mut unread);
        let mut detected = seen.detect(
            &*context.store,
            Candidates {
                records: fetched.records,
                want: ahead.want(),
                until: rules.until,
                forgotten: &rules.forgotten,
                changes: trigger.trigger.changes(),
                names: match &self.gone {
                    None => Names::None,
                    Some(_) if ahead.want() == Want::All && !self.snapshot.is_named(partition) => {
                        Names::All
                    }
                    Some(_) => Names::New,
                },
                identity: Identity {
                    flow: &context.flow.name,
                    trigger: &trigger.name,
                    partition,
                    generation: rules.generation,
                },
                committed: self.sequence,
                sequence,
                wholes: fetched.wholes,
                absent_is_gone: of == Of::Events && self.gone.is_some(),
                begins: trigger.trigger.begins(),
            },
        );
        ahead.note(detected.newest);
        ahead.cap = ahead.cap.or(Some(fetched.date));
        ahead.cursor = fetched.next;
        let emitted = std::mem::take(&mut detected.emitted);
        let waiting = Waiting { emitted, asked: fetched.asked, unmapped: fetched.unmapped };
        (
            InFlight {
                of,
                detected,
                scan: ahead.clone(),
                taken: fetched.taken,
                position: fetched.position,
            },
            waiting,
        )
    }

    pub(crate) fn deliver(
        &self,
        of: Of,
        partition: &Arc<str>,
        Waiting { emitted, asked, unmapped }: Waiting,
    ) -> Task<Settled> {
        let context = self.context_of(of).clone();
        let origin = Origin::Page { partition: partition.clone(), asked };
        let page = deliver::page(context, origin, emitted, unmapped);
        Task::of(page, self.context.trigger_place.clone(), "delivery")
    }

    /// What a page's requests go through.
    pub(crate) const fn context_of(&self, of: Of) -> &Arc<Context> {
        match of {
            Of::Live | Of::Events => &self.context,
            Of::Backfill => &self.behind_live,
        }
    }
}
