//! The store looked after: backups, checks, compaction, new keys, and disks that fail.

use std::path::Path;

use crate::folder::{FLOW, Folder, NAME, Vendors};

/// A project that has run once.
fn project(vendors: &Vendors) -> Folder {
    let folder = Folder::empty();
    let credentials = vendors.sandbox.credentials();
    folder.write("towpath.yaml", &vendors.config("{ secret: reach }", "{ secret: tap }"));
    folder.write(&format!("flows/{NAME}.yaml"), FLOW);
    let secret = |name: &str, value: &str| {
        folder.run_with(&["secret", "set", name], value.as_bytes()).exits(0);
    };
    secret("reach", &credentials.client_secret);
    secret("tap", &credentials.passcode);
    folder
}

#[test]
fn a_store_is_backed_up_checked_compacted_and_rekeyed() {
    let vendors = Vendors::with(50);
    let folder = project(&vendors);
    folder.run(&["run", NAME, "--once"]).exits(0).says("50 delivered");
    let shown = folder.run(&["store", "show"]).exits(0);
    shown.says("format 10").says("dead letters").says(NAME);
    assert_eq!(folder.run(&["store", "show", "--json"]).exits(0).json()[0]["flows"][0]["seen"], 50);
    folder.run(&["store", "verify"]).exits(0).says("0 damaged");
    folder.run(&["store", "backup", "one.towpath"]).exits(0).says("one.towpath: written");
    folder.run(&["store", "backup", "one.towpath"]).exits(8).says("exists");
    folder.run(&["store", "compact"]).exits(0).says("kept and read back");
    let rekeyed = folder.run(&["store", "rekey"]).exits(0);
    rekeyed.says("sealed with key").says(".config/towpath/keys/");
    // Nothing is sent again, and the secrets are there.
    folder.run(&["run", NAME, "--once"]).exits(0).says("0 delivered");

    // The new key is found by the id that the store wants; the first one opens nothing.
    let first = folder.read(".config/towpath/key");
    folder.run_env(&["store", "verify"], "TOWPATH_KEY", first.trim()).exits(8).says("sealed with");
    folder.run(&["store", "restore", "one.towpath"]).exits(8).says("a store at");
    std::fs::rename(folder.path(".towpath/store"), folder.path("aside")).unwrap();
    // A backup keeps the key of its time, which is still the key file.
    folder.run(&["store", "restore", "one.towpath"]).exits(0).says("restored");
    folder.run(&["run", NAME, "--once"]).exits(0).says("0 delivered");

    folder.run(&["store", "export", "flow.towpath", "--flow", NAME]).exits(0).says("of 1 flow");
    folder.run(&["store", "import", "flow.towpath"]).exits(8).says("has these flows already");
    folder
        .run(&["store", "import", "flow.towpath", "--flow", "no"])
        .exits(8)
        .says("holds no flow no");
    std::fs::remove_dir_all(folder.path(".towpath/store")).unwrap();
    folder.run(&["store", "verify"]).exits(8).says("there is no store");
    folder.run(&["store", "import", "flow.towpath"]).exits(0).says("imported");
    folder.run(&["store", "show"]).exits(0).says(NAME);
}

#[test]
fn damage_is_named_and_the_exit_code_tells() {
    let vendors = Vendors::with(3_000);
    let folder = project(&vendors);
    folder.run(&["run", NAME, "--once"]).exits(0);
    folder.run(&["store", "backup", "good.towpath"]).exits(0);
    // What the database writes its log to is gone.
    std::fs::write(folder.path(".towpath/store/sled/db"), b"").unwrap();
    let refused = folder.run(&["run", NAME, "--once"]).exits(8);
    refused.says("restore a backup");
    folder.run(&["store", "show"]).exits(8).says("restore a backup");
    std::fs::rename(folder.path(".towpath/store"), folder.path("aside")).unwrap();
    folder.run(&["store", "restore", "good.towpath"]).exits(0);
    folder.run(&["run", NAME, "--once"]).exits(0).says("0 delivered");
}

/// The database meets a limit in the middle of a run: what it cannot write is an error, what it
/// acknowledged stays, and with room the rest arrives.
#[test]
#[cfg(unix)]
fn a_disk_that_is_full_stops_a_run_and_loses_nothing() {
    let vendors = Vendors::with(3_000);
    let folder = project(&vendors);
    // In blocks of 512 bytes; the signal is ignored, so that writes fail instead.
    let script = format!(
        "trap '' XFSZ; ulimit -f 200; exec {} run {NAME} --once",
        env!("CARGO_BIN_EXE_towpath")
    );
    let failed = folder.command("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(8), "{said}");
    assert!(said.contains("error") && !said.contains("panicked"), "{said}");
    folder.run(&["store", "verify"]).exits(0).says("0 damaged");
    folder.run(&["run", NAME, "--once"]).exits(0).says("completed");
    let remembered = folder.run(&["store", "show", "--json"]).exits(0).json();
    assert_eq!(remembered[0]["flows"][0]["seen"], 3_000);
}

/// The database itself writes when it is opened: where not one byte can be written any more, that is
/// said, and nothing is harmed.
#[test]
#[cfg(unix)]
fn a_store_to_which_not_one_byte_can_be_written_says_so_and_stays_whole() {
    let vendors = Vendors::with(50);
    let folder = project(&vendors);
    folder.run(&["run", NAME, "--once"]).exits(0);
    for command in ["show", "verify"] {
        let binary = env!("CARGO_BIN_EXE_towpath");
        let script = format!("trap '' XFSZ; ulimit -f 0; exec {binary} store {command}");
        let output = folder.command("sh").args(["-c", &script]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(8), "{command}: {said}");
        assert!(said.contains("see to the disk"), "{command}: {said}");
    }
    folder.run(&["store", "verify"]).exits(0).says("0 damaged");
}

#[test]
#[cfg(unix)]
fn a_store_that_cannot_be_written_says_who_must_be_able_to() {
    use std::os::unix::process::CommandExt as _;

    let vendors = Vendors::with(5);
    let folder = project(&vendors);
    folder.run(&["run", NAME, "--once"]).exits(0);
    let key = folder.read(".config/towpath/key");
    readable(&folder.path("."), false);
    let binary = folder.path("towpath");
    std::fs::copy(env!("CARGO_BIN_EXE_towpath"), &binary).unwrap();
    let mut ran = folder.command(binary.to_str().unwrap());
    ran.args(["state", "show"]).env("TOWPATH_KEY", key.trim());
    // Whoever may do everything is let through by any permission.
    if is_root() {
        ran.uid(65_534).gid(65_534);
    }
    let output = ran.output().unwrap();
    readable(&folder.path("."), true);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("cannot be written to") && said.contains("allowed"), "{said}");
    folder.run(&["store", "verify"]).exits(0).says("0 damaged");
}

#[cfg(unix)]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

/// Lets everybody read a folder, and nobody or its owner write to it.
#[cfg(unix)]
fn readable(path: &Path, writable: bool) {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    let mode = if writable { 0o755 } else { 0o555 };
    std::fs::set_permissions(path, Permissions::from_mode(mode | 0o200)).unwrap();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            readable(&path, writable);
        } else {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Stops a process when the test ends.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_backup_is_made_while_a_flow_is_on_its_schedule() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let vendors = Vendors::with(50);
    let folder = project(&vendors);
    let mut command = folder.command(env!("CARGO_BIN_EXE_towpath"));
    let child = command.args(["run", NAME]).stderr(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let said = BufReader::new(running.0.stderr.take().unwrap());
    let mut lines = said.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("50 delivered")));
    folder.run(&["state", "show"]).exits(8).says("is in use by process");
    folder.run(&["store", "backup", "live.towpath"]).exits(0).says("of 1 flow");
    folder.run(&["store", "backup", "live.towpath"]).exits(8).says("exists");
    folder.run(&["store", "verify"]).exits(0).says("0 damaged");
    folder.run(&["store", "show"]).exits(0).says(NAME);
    folder.run(&["store", "compact"]).exits(8).says("is in use by process");
    drop(running);
    std::fs::rename(folder.path(".towpath/store"), folder.path("aside")).unwrap();
    folder.run(&["store", "restore", "live.towpath"]).exits(0);
    folder.run(&["run", NAME, "--once"]).exits(0).says("0 delivered");
}
