//! What a receiver ordered: one item of an order.

use connector::prelude::*;
use serde_json::Map;

use crate::group::Id;
use crate::rejections;

/// One item of an order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Order {
    /// The order's number in the shop. Required.
    pub(crate) order_id: Option<Id>,
    /// The product's name. Required.
    pub(crate) product: String,
    /// The product's number in the shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) product_id: Option<Id>,
    /// The price of one, in `currency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
    /// The currency: `EUR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// How many were ordered.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<f64>,
    /// When it was ordered, in epoch seconds; CleverReach takes the time at which it hears of it if
    /// it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<i64>,
    /// The id of the mailing that led to the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    mailing_id: Option<Id>,
    /// Where it was ordered: the shop's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The product's brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    /// The product's categories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    product_category: Vec<String>,
    /// More about the product, by names.
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<String, Value>,
}

/// An item that a receiver has: what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    order: String,
    product: String,
}

impl Order {
    /// What keeps it from being sent.
    pub(crate) fn refusal(&self) -> Option<Outcome> {
        let lacking = match (&self.order_id, self.product.trim()) {
            (None, _) => "order_id",
            (_, "") => "product",
            _ => return None,
        };
        let which = match &self.order_id {
            Some(id) => format!("an item of the order {}", id.0),
            None => "an item".to_owned(),
        };
        Some(rejections::BAD_ORDER.because(format!("{which} has no `{lacking}`")))
    }

    /// As it is sent. Sources name how many were ordered, and where, in two ways each, so they go
    /// under both names.
    pub(crate) fn row(&self) -> Value {
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                row.insert(name.to_owned(), value);
            }
        };
        put("order_id", json!(self.order_id));
        put("product_id", json!(self.product_id));
        put("product", json!(self.product.trim()));
        put("price", json!(self.price));
        put("currency", json!(self.currency));
        for name in ["quantity", "amount"] {
            put(name, self.quantity.map_or(Value::Null, whole));
        }
        put("stamp", json!(self.stamp));
        put("mailing_id", json!(self.mailing_id));
        for name in ["source", "product_source"] {
            put(name, json!(self.source));
        }
        put("brand", json!(self.brand));
        if !self.product_category.is_empty() {
            put("product_category", json!(self.product_category.join(",")));
        }
        if !self.attributes.is_empty() {
            put("attributes", json!(self.attributes));
        }
        Value::Object(row)
    }

    fn known(&self) -> Known {
        Known::of(&self.row())
    }
}

/// A number of things, without `.0` where they are whole.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return json!(number as i64);
    }
    json!(number)
}

impl Known {
    /// Reads an item as CleverReach tells it: the order's number, and the product's or its name.
    pub(crate) fn of(item: &Value) -> Self {
        let text = |name: &str| match item.get(name) {
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let number = text("product_id");
        let product = if number.is_empty() { text("product") } else { number };
        Self { order: text("order_id"), product }
    }
}

/// The items that are not there yet. One that comes twice is there when it is there twice.
pub(crate) fn missing<'o>(given: &'o [Order], known: &[Known]) -> Vec<&'o Order> {
    let mut known = known.to_vec();
    let is_new = |order: &&Order| {
        let own = order.known();
        match known.iter().position(|it| *it == own) {
            Some(place) => {
                known.swap_remove(place);
                false
            }
            None => true,
        }
    };
    given.iter().filter(is_new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_new_unless_it_is_there_as_often() {
        let item = |order: i64, product: &str| Order {
            order_id: Id::of(&json!(order)),
            product: product.to_owned(),
            ..Order::default()
        };
        let given = [item(1, "Jeans"), item(1, "Jeans"), item(1, "Shirt"), item(2, "Jeans")];
        let known = [
            Known::of(&json!({ "order_id": "1", "product": "Jeans", "price": 1 })),
            Known::of(&json!({ "order_id": 2, "product": " Jeans " })),
        ];
        let missing: Vec<_> = missing(&given, &known).into_iter().cloned().collect();
        assert_eq!(missing, [item(1, "Jeans"), item(1, "Shirt")]);
        // The product's number goes before its name.
        let numbered = Order { product_id: Id::of(&json!("SN1")), ..item(1, "Jeans") };
        let renamed = Known::of(&json!({ "order_id": "1", "product_id": "SN1", "product": "J" }));
        assert!(super::missing(&[numbered], &[renamed]).is_empty());
    }
}
