//! `PUT /groups/{id}/receivers/{id}/activate` and `deactivate`.

use super::directory::Directory;
use super::receiver::Entry;
use crate::answer::Answer;
use crate::options::Switches;

/// Makes a member of a group active or inactive, from now on.
pub(super) fn set(
    directory: &mut Directory,
    (group, who): (&str, &str),
    active: bool,
    (switches, now): (&Switches, i64),
) -> Answer {
    let slot = group.parse().ok().and_then(|group| directory.find_member(who, group));
    let Some((slot, entry)) = slot.and_then(|slot| Some((slot, directory.stored(slot)?))) else {
        return Answer::error(404, "Not Found");
    };
    let mut receiver = entry.to_receiver();
    let id = entry.id;
    if !active {
        receiver.deactivated = now;
    } else if !(switches.unsubscribed_stay && receiver.deactivated > 0) {
        receiver.activated = now;
        receiver.deactivated = 0;
    }
    directory.replace(slot, Entry::from_receiver(&receiver, id));
    Answer::json(200, &true)
}
