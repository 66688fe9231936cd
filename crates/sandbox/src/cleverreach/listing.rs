//! Lists of receivers: what a request asks for, and the page as JSON.

use super::directory::Directory;
use super::query::{Field, FilterBody, Kind, Logic, Order, Query, Rule, Window, loose_text};
use super::receiver::{Detail, GLOBAL_ATTRIBUTES};
use crate::answer::Answer;
use crate::call::Call;
use crate::options::{EmptyGroup, OversizedPage, Switches};

const DEFAULT_SIZE: usize = 50;
const LARGEST_SIZE: usize = 5_000;

/// A list and the page of it that is wanted.
#[derive(Debug)]
pub(super) struct Listing {
    query: Query,
    window: Window,
    detail: Detail,
}

impl Listing {
    /// Reads `GET /groups/{id}/receivers`.
    pub(super) fn of_group(id: u64, call: &Call, switches: &Switches) -> Result<Self, Answer> {
        let text = |name| call.parameter(name).map(str::to_owned);
        let bad = |what: &str| Answer::error(400, &format!("Bad Request: invalid {what}"));
        let mut query = Query::group(id);
        query.kind = Kind::parse(&text("type").unwrap_or_default()).ok_or_else(|| bad("type"))?;
        query.order = read_order(text("order_by").as_deref())?;
        let split = |list: String| -> Vec<String> {
            list.split(',').map(|part| part.trim().to_owned()).collect()
        };
        let emails = text("email_list").filter(|list| !list.is_empty());
        query.emails = emails.map(|list| {
            let mut emails = split(list.to_ascii_lowercase());
            emails.sort_unstable();
            emails
        });
        let ids = text("id_list").filter(|list| !list.is_empty()).map(split);
        query.ids = ids.map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect());
        let window = read_window(text("pagesize"), text("page"), switches)?;
        Ok(Self { query, window, detail: read_detail(text("detail"))? })
    }

    /// Reads `POST /receivers/filter`.
    pub(super) fn of_filter(body: &[u8], switches: &Switches) -> Result<Self, Answer> {
        let body: FilterBody = serde_json::from_slice(body)
            .map_err(|error| Answer::error(400, &format!("Bad Request: {error}")))?;
        let any_rule = match body.operator.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "and") => false,
            Some("or") => true,
            Some(_) => return Err(Answer::error(400, "Bad Request: invalid operator")),
        };
        let mut rules = Vec::with_capacity(body.rules.len());
        for rule in &body.rules {
            let refused =
                || Answer::error(400, &format!("Bad Request: invalid rule field '{}'", rule.field));
            if switches.refused_filter_fields.contains(&rule.field) {
                return Err(refused());
            }
            let attribute = rule.field.to_ascii_lowercase();
            let field = Field::known(&rule.field)
                .or_else(|| is_attribute(&attribute).then_some(Field::Attribute(attribute)))
                .ok_or_else(refused)?;
            let logic = Logic::parse(&rule.logic).ok_or_else(|| {
                Answer::error(400, &format!("Bad Request: invalid rule logic '{}'", rule.logic))
            })?;
            let condition = loose_text(&rule.condition).unwrap_or_default();
            rules.push(Rule::new(field, logic, condition));
        }
        let mut groups = Vec::with_capacity(body.groups.len());
        for group in &body.groups {
            let id = loose_text(group).and_then(|id| id.parse().ok());
            groups.push(id.ok_or_else(|| Answer::error(400, "Bad Request: invalid groups"))?);
        }
        let groups_untold = groups.is_empty();
        if groups_untold && switches.filter_needs_groups {
            return Err(Answer::error(400, "Bad Request: groups are needed"));
        }
        let active = loose_text(&body.activeonly).is_some_and(|text| text == "true" || text == "1");
        let query = Query {
            groups,
            kind: if active { Kind::Active } else { Kind::All },
            ids: None,
            emails: None,
            rules,
            any_rule,
            per_receiver: groups_untold && switches.filter_per_receiver,
            order: read_order(body.orderby.as_deref())?,
        };
        let window = read_window(loose_text(&body.pagesize), loose_text(&body.page), switches)?;
        Ok(Self { query, window, detail: read_detail(loose_text(&body.detail))? })
    }

    /// Goes back one page where there is one: what the fault `repeatPage` does.
    pub(super) fn step_back(&mut self) {
        self.window.page = self.window.page.saturating_sub(1);
    }

    /// Writes the page and says how many receivers are in it.
    pub(super) fn answer(self, directory: &mut Directory, switches: &Switches) -> (Answer, usize) {
        let known = |id: &u64| directory.groups.iter().any(|group| group.id == *id);
        if !self.query.groups.iter().all(known) {
            return (Answer::error(404, "Not Found"), 0);
        }
        let rows = directory.rows(&self.query);
        let start = self.window.page.saturating_mul(self.window.size);
        if rows.is_empty() && switches.empty_group == EmptyGroup::NoContent {
            return (Answer::nothing(), 0);
        }
        let page = rows.get(start..).unwrap_or_default();
        let page = page.get(..self.window.size).unwrap_or(page);
        let size = page.iter().filter_map(|row| directory.at(*row)).map(|entry| entry.size() + 1);
        let mut out = Vec::with_capacity(size.sum::<usize>() + 2);
        out.push(b'[');
        for row in page {
            let Some(entry) = directory.at(*row) else { continue };
            if out.len() > 1 {
                out.push(b',');
            }
            entry.write(&mut out, row.group, self.detail, switches.integer_ids);
        }
        out.push(b']');
        (Answer::text(200, out), page.len())
    }
}

fn is_attribute(name: &str) -> bool {
    GLOBAL_ATTRIBUTES.contains(&name) || ["name", "customer_number"].contains(&name)
}

fn read_order(text: Option<&str>) -> Result<Order, Answer> {
    match text.filter(|text| !text.trim().is_empty()) {
        None => Ok(Order::BY_ID),
        Some(text) => Order::parse(text)
            .ok_or_else(|| Answer::error(400, &format!("Bad Request: invalid order '{text}'"))),
    }
}

fn read_detail(text: Option<String>) -> Result<Detail, Answer> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Detail(0)) };
    match text.parse() {
        Ok(bits) if bits <= Detail::ALL.0 => Ok(Detail(bits)),
        _ => Err(Answer::error(400, "Bad Request: invalid detail")),
    }
}

fn read_window(
    size: Option<String>,
    page: Option<String>,
    switches: &Switches,
) -> Result<Window, Answer> {
    let bad = |what: &str| Answer::error(400, &format!("Bad Request: invalid {what}"));
    let size = match size {
        None => DEFAULT_SIZE,
        Some(text) => {
            let size: usize =
                text.parse().ok().filter(|size| *size > 0).ok_or_else(|| bad("pagesize"))?;
            if size > LARGEST_SIZE && switches.oversized_page == OversizedPage::Refuse {
                return Err(bad("pagesize"));
            }
            size.min(LARGEST_SIZE)
        }
    };
    let page = page.map_or(Ok(0), |text| text.parse().map_err(|_| bad("page")))?;
    Ok(Window { size, page })
}
