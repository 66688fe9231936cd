//! The part of the suite about what one flow writes and another one reads back.

use super::commit;
use crate::error::{Error, Result};
use crate::store::{Commit, Counts, Echo, EchoChange, Store};

fn echo(number: u8) -> Echo {
    let (key, content) = ([number; 16], [number; 8]);
    Echo { key, content, version: -i64::from(number), moment: u64::from(number) << 40, at: 7 }
}

fn put(flow: &str, echo: Echo) -> EchoChange {
    EchoChange::Put { flow: flow.to_owned(), echo }
}

async fn made(store: &dyn Store, flow: &str, keys: &[u8]) -> Result<Vec<Echo>> {
    store.echoes(flow, &keys.iter().map(|key| [*key; 16]).collect::<Vec<_>>()).await
}

pub(super) async fn put_and_forgotten(store: &dyn Store) -> Result<()> {
    let (there, back) = ("echoes, there", "echoes, back");
    let fence = store.lease(there).await?.fence;
    assert!(!store.has_echoes(back).await?);
    assert_eq!(made(store, back, &[1]).await?, []);
    let newer = Echo { content: [9; 8], ..echo(2) };
    let echoes =
        vec![put(back, echo(1)), put(back, echo(2)), put(there, echo(3)), put(back, newer)];
    let counts = Counts { echoed: 3, overruled: 1, ..Counts::default() };
    store.commit(&fence, 1, Commit { echoes, counts, ..commit(b"{}") }).await?;
    assert!(store.has_echoes(back).await? && store.has_echoes(there).await?);
    assert_eq!(made(store, back, &[2, 7, 1]).await?, [newer, echo(1)], "the last one counts");
    assert_eq!(made(store, there, &[1, 3]).await?, [echo(3)], "each flow has its own");

    let forgotten = vec![
        EchoChange::Forget { flow: back.to_owned(), key: [1; 16] },
        EchoChange::Forget { flow: back.to_owned(), key: [8; 16] },
        EchoChange::ForgetAll { flow: there.to_owned() },
    ];
    let refused = store.commit(&fence, 9, Commit { echoes: forgotten.clone(), ..commit(b"{}") });
    assert!(matches!(refused.await, Err(Error::Sequence { .. })));
    assert_eq!(made(store, back, &[1]).await?, [echo(1)], "what is refused changes nothing");
    store.commit(&fence, 2, Commit { echoes: forgotten, counts, ..commit(b"{}") }).await?;
    assert_eq!(made(store, back, &[1, 2]).await?, [newer]);
    assert!(!store.has_echoes(there).await?);
    let counts = store.head(there).await?.map(|head| head.counts);
    assert_eq!(counts.map(|counts| (counts.echoed, counts.overruled)), Some((6, 2)));
    Ok(())
}
