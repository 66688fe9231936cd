//! CleverReach: receivers of an e-mail marketing account.
