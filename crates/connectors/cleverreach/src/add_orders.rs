//! `addOrders`: notes what receivers ordered.

use connector::prelude::*;

use crate::group::Id;
use crate::members::Detail;
use crate::order::Order;
use crate::plus::{self, Absent, Wish};
use crate::told::Told;
use crate::who::{By, Who};
use crate::{in_group, rejections};

/// Notes what receivers of a group ordered. What a receiver has already, by the order's number and
/// the product, is not written again, nor changed. A receiver that is not in the group is refused:
/// `upsertReceiver` creates it, and takes orders too.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "groupName": "Customers" }]))]
pub(crate) struct AddOrders {
    /// The group's id, as CleverReach shows it in the group's address and settings.
    #[serde(default)]
    group_id: Option<Id>,
    /// The group's name, matched without case and surrounding spaces; exactly one group must
    /// have it.
    #[serde(default)]
    group_name: Option<String>,
    /// By what the default mapping names the receiver.
    #[serde(default)]
    #[expect(dead_code, reason = "the default mapping reads it")]
    by: By,
}

/// A receiver, and what it ordered.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "email": "ada@example.com",
    "orders": [{
        "order_id": "2026-1001", "product_id": "SN12345", "product": "Jeans", "price": 59.9,
        "currency": "EUR", "quantity": 1, "stamp": 1_763_700_000
    }]
}]))]
pub(crate) struct Ordered {
    /// The receiver's id. It goes before `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    /// The receiver's e-mail address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    email: String,
    /// What it ordered: the items of one order, or of several.
    #[serde(default)]
    orders: Vec<Order>,
}

impl Ordered {
    fn refusal(&self) -> Option<Outcome> {
        if self.orders.is_empty() {
            return Some(rejections::BAD_ORDER.because("the message has no items of an order"));
        }
        self.orders.iter().find_map(Order::refusal)
    }
}

#[async_trait]
impl Action for AddOrders {
    type Input = Ordered;
    const MAX_BATCH: usize = 500;
    const REJECTIONS: &'static [Rejection] = rejections::ORDERS;

    fn validate(&self) -> Result<(), String> {
        in_group::validate(self.group_id.as_ref(), self.group_name.as_deref())
    }

    /// What is there is looked up first: whether CleverReach tells an order that comes again is not
    /// documented.
    fn idempotent(&self) -> bool {
        true
    }

    async fn lacks(&self, api: &Api) -> Result<Vec<String>> {
        in_group::lacks(api, self.group_id.as_ref(), self.group_name.as_deref()).await
    }

    async fn run(&self, api: &Api, batch: &Batch<Ordered>) -> Result<Outcomes> {
        let mut told = Told::new(batch.outcomes());
        let mut wishes = vec![];
        for (index, item) in batch.items.iter().enumerate() {
            let input = &*item.input;
            let wish = Wish { orders: &input.orders, ..Wish::default() };
            match (Who::of(input.id.as_ref(), &input.email), input.refusal()) {
                (Err(refusal), _) | (Ok(_), Some(refusal)) => told.refuse(index, refusal),
                (Ok(who), None) => wishes.push((index, who, wish)),
            }
        }
        let named = (self.group_id.as_ref(), self.group_name.as_deref());
        plus::change(api, named, wishes, (Detail::ORDERS, Absent::Refuse), told).await
    }
}
