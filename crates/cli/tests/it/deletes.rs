//! `run --allow-deletes`: very many records that are gone are told once somebody says so.

use serde_json::json;

use crate::folder::{Folder, Vendors};

const FLOW: &str = r#"
flow: leavers
trigger:
  use: cleverreach.getReceiversByGroupIdPolling
  account: newsletter
  sweep: 1d
  emitDeletes: true
  fields: { groupName: Newsletter }
steps:
  - id: there
    use: clevertap.uploadProfiles
    account: engagement
    fields:
      customMapping: '{ "identity": metadata.recordUid, "profileData": { "Newsletter": true } }'
  - id: gone
    use: clevertap.uploadProfiles
    account: engagement
    after: trigger
    for: deletes
    fields:
      customMapping: '{ "identity": metadata.recordUid, "profileData": { "Newsletter": false } }'
"#;

#[test]
fn what_max_deletes_holds_back_is_sent_when_it_is_allowed() {
    let vendors = Vendors::with(30);
    let folder = Folder::empty();
    let credentials = vendors.sandbox.credentials();
    folder.write("towpath.yaml", &vendors.config("{ file: reach }", "{ file: tap }"));
    folder.write("reach", &credentials.client_secret);
    folder.write("tap", &credentials.passcode);
    folder.write("flows/leavers.yaml", FLOW);
    folder.run(&["run", "leavers", "--once"]).exits(0).says("30 delivered");
    let gone: Vec<_> = vendors.sandbox.receivers().into_iter().take(12).map(|it| it.id).collect();
    gone.iter().for_each(|id| assert!(vendors.sandbox.delete_receiver(id)));
    let noted = || {
        let is_gone =
            |id: &&String| vendors.sandbox.profile(id).unwrap()["Newsletter"] == json!(false);
        gone.iter().filter(is_gone).count()
    };
    // No sweep is due: nothing is missed. The first reading of everything may have passed them
    // over; the second one tells.
    folder.run(&["run", "leavers", "--once"]).exits(0).says("0 delivered");
    folder.run(&["run", "leavers", "--allow-deletes"]).exits(0);
    assert_eq!(noted(), 0);
    folder.run(&["run", "leavers", "--allow-deletes"]).exits(0).says("12");
    assert_eq!(noted(), 12);
    folder.run(&["run", "leavers", "--allow-deletes"]).exits(0);
    assert_eq!(noted(), 12);
    let why = folder.run(&["why", &gone[0]]).exits(0);
    why.says("gone from its source")
        .says("delivered by gone")
        .says("not for there, which takes no deletes");
    folder.run(&["why", &gone[0]]).says("gone since");
}
