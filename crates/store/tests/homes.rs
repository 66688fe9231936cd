//! Every home of the store passes the one suite.

use std::sync::{Arc, Mutex};

use towpath_store::{
    Durability, MasterKey, MemoryStore, SledOptions, SledStore, Store, conformance,
};

#[tokio::test]
async fn memory_conforms() {
    let last = Mutex::new(MemoryStore::new(MasterKey::generate()));
    let open = async || {
        let before = last.lock().unwrap().clone();
        let store = before.reopen().await?;
        *last.lock().unwrap() = store.clone();
        Ok(Arc::new(store) as Arc<dyn Store>)
    };
    conformance::check(open).await.unwrap();
}

#[tokio::test]
async fn sled_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let key = MasterKey::generate();
    let open = async || {
        let path = folder.path().join("state");
        let options = SledOptions { path, key: &key, durability: Durability::Full };
        Ok(Arc::new(SledStore::open(options).await?) as Arc<dyn Store>)
    };
    conformance::check(open).await.unwrap();
}
