//! What a flow file says, checked.
