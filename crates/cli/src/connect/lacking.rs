//! What an account's system lacks for the flows that use it.

use server::accounts::{Host as _, Lacking, Refusal};

use super::book::Book;

impl Book {
    /// Asks for each step of each flow that uses the account. A flow with mistakes is left out:
    /// `check` tells of those.
    pub(super) async fn lacking_to(&self, account: &str) -> Result<Vec<Lacking>, Refusal> {
        let project = self.project()?;
        let files = project.flow_files(&[]);
        let files = files.map_err(|failed| Refusal::Other(format!("{:#}", failed.error)))?;
        let api = self.access(account).await?;
        let mut lacking = vec![];
        for file in files {
            let Ok((Some(flow), _)) = project.check(&file) else { continue };
            for step in flow.steps.iter().filter(|step| step.account == account) {
                let lacks = step.action.lacks(&api).await.unwrap_or_else(|error| {
                    // A list that is not there is what somebody looks for here.
                    vec![error.to_string()]
                });
                lacking.extend(lacks.into_iter().map(|says| Lacking {
                    flow: flow.name.clone(),
                    step: step.id.clone(),
                    says,
                }));
            }
        }
        Ok(lacking)
    }
}
