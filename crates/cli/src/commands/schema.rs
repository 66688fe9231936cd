//! `towpath schema`: the JSON Schemas that editors read.

use crate::args::Schema;
use crate::exit::{Exit, Result};
use crate::progress::print;
use crate::registry;

pub(crate) fn run(of: Schema) -> Result {
    let connectors = registry::connectors();
    let schema = match of {
        Schema::Flow => flow::schema::flow(&connectors),
        Schema::Config => flow::schema::config(&connectors),
    };
    print(&serde_json::to_string_pretty(&schema)?);
    Ok(Exit::Done)
}
