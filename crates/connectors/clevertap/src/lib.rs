//! CleverTap: profiles and events of a customer engagement project.
