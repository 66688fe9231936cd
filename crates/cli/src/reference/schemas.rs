//! The generated schemas, from which pages and terminal take what users write.

use connector::Connector;
use serde_json::Value;

use super::fields::Shape;
use super::markdown::listed;

/// The schemas of flow files and of `towpath.yaml`, as editors have them.
pub(crate) struct Schemas {
    pub(crate) flow: Value,
    pub(crate) config: Value,
}

impl Schemas {
    pub(crate) fn of(connectors: &[Connector]) -> Self {
        Self { flow: flow::schema::flow(connectors), config: flow::schema::config(connectors) }
    }

    /// The `fields` of a trigger or action, by `connector.name`: its own, and those of all.
    pub(crate) fn fields(&self, name: &str) -> Shape<'_> {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        Shape::at(&self.flow, &format!("/$defs/{escaped}"))
    }

    /// What `towpath.yaml` takes for an account of the connector.
    fn account(&self, connector: &Connector) -> Shape<'_> {
        let cases = self.config.pointer("/properties/accounts/additionalProperties/allOf");
        let mut cases = cases.and_then(Value::as_array).into_iter().flatten();
        let is = |case: &&Value| {
            let name = case.pointer("/if/properties/connector/const");
            name.and_then(Value::as_str) == Some(connector.name())
        };
        Shape::of(cases.find(is).and_then(|case| case.get("then")).unwrap_or(&Value::Null))
    }

    pub(crate) fn base_url_about(&self, connector: &Connector) -> String {
        let mut settings = self.account(connector).properties();
        settings.find(|(name, _)| *name == "baseUrl").map(|(_, it)| it.about()).unwrap_or_default()
    }

    /// The ways to give a secret: `` `{ env: NAME }` ``; empty if no setting is one.
    pub(crate) fn secret_forms(&self, connector: &Connector) -> String {
        let secret = connector.settings().iter().find(|setting| setting.secret);
        let mut settings = self.account(connector).properties();
        let Some((_, shape)) = secret.and_then(|it| settings.find(|(name, _)| *name == it.name))
        else {
            return String::new();
        };
        let forms = shape.schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let keys = forms.filter_map(|form| form.get("properties")?.as_object()?.keys().next());
        let form = |key: &String| {
            let value = if key == "file" { "PATH" } else { "NAME" };
            format!("`{{ {key}: {value} }}`")
        };
        let forms: Vec<_> = keys.map(form).collect();
        listed(&forms).replace(" and ", " or ")
    }
}
