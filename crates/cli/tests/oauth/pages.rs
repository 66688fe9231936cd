//! The pages of accounts in a real browser: a form, a test that fails, a login.

use crate::folder::{Folder, Vendors};
use crate::provider::Provider;
use crate::service::Service;
use crate::webdriver::Chromium;
use crate::{callback, free_port, project};

/// What no page may hold once it was sent.
const CANARY: &str = "CANARY-9d21-PASSCODE";

/// What holds for every page of ours: it fits, each field has a name, nothing was blocked.
#[track_caller]
fn looks_right(browser: &Chromium, name: &str) {
    browser.picture(name);
    let wide = browser.script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
    );
    assert!(wide.as_i64() <= Some(0), "{name} is {wide} wider than the screen");
    let unnamed = browser.script(
        "return [...document.querySelectorAll('input:not([type=hidden]),select,textarea')]\
         .filter(it => !it.labels.length).map(it => it.id || it.name)",
    );
    assert_eq!(unnamed, serde_json::json!([]), "{name} has fields without a label");
    let url = browser.url();
    let base = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    assert_eq!(browser.complaints(&base), Vec::<String>::new(), "{name}");
    assert!(!browser.source().contains("CANARY"), "{name} shows a secret");
}

fn sign_in(browser: &Chromium, folder: &Folder) {
    let said = folder.run(&["open"]).exits(0);
    let link =
        said.all().split_whitespace().find(|it| it.contains("/login?code=")).map(str::to_owned);
    browser.open(&link.unwrap_or_else(|| panic!("{}", said.all())));
}

#[test]
fn slow_an_account_is_connected_in_a_browser() {
    let port = free_port();
    let Some(provider) = Provider::start(&[callback(port)]) else { return };
    let Some(browser) = Chromium::start() else { return };
    let vendors = Vendors::with(1);
    let known = vendors.sandbox.credentials().clone();
    let folder = project(&provider, port);
    let before = folder.read("towpath.yaml");
    let _service = Service::start(&folder);
    let base = format!("http://127.0.0.1:{port}");
    browser.screen(1280, false);
    sign_in(&browser, &folder);

    for (width, dark) in [(1280, false), (390, true)] {
        let of = |page: &str| format!("{page}-{width}");
        browser.screen(width, dark);
        browser.open(&format!("{base}/accounts"));
        assert!(browser.text("main").contains("newsletter"), "{}", browser.text("main"));
        looks_right(&browser, &of("accounts"));

        // A form whose fields come from the connector's settings.
        browser.go("a[href='/accounts/new?connector=clevertap']");
        assert_eq!(browser.text("h1"), "Connect CleverTap");
        let chosen = browser.script("return document.getElementById('region').value");
        assert_eq!(chosen, "eu");
        let hidden = browser.script("return document.getElementById('passcode').type");
        assert_eq!(hidden, "password");
        looks_right(&browser, &of("form"));
        let name = format!("engagement-{width}");
        browser.fill("#name", "no good name");
        browser.fill("#projectId", &known.project_id);
        browser.fill("#passcode", CANARY);
        browser.click(".account details:last-of-type summary");
        browser.fill("#baseUrl", &vendors.sandbox.clevertap_url());
        browser.go(".account button:not(.second)");
        assert!(
            browser.text("#name-error").contains("letters, digits"),
            "{}",
            browser.text("main")
        );
        assert_eq!(browser.script("return document.activeElement.id"), "name");
        looks_right(&browser, &of("form-wrong"));

        // A test that fails saves nothing, and says what helps.
        browser.fill("#name", &name);
        browser.fill("#passcode", CANARY);
        browser.go(".account button:not(.second)");
        let said = browser.text(".summary");
        for part in ["nothing was saved", "The credentials are refused", "Compare the first two"] {
            assert!(said.contains(part), "{said}");
        }
        looks_right(&browser, &of("form-failed"));
        assert!(!folder.read("towpath.yaml").contains(&name));

        browser.fill("#passcode", &known.passcode);
        browser.go(".account button:not(.second)");
        assert!(browser.text(".done").contains(&name), "{}", browser.text("main"));
        looks_right(&browser, &of("connected"));
        assert!(folder.read("towpath.yaml").starts_with(&before), "what was there has changed");

        // A login at a real OAuth2 server, and back.
        browser.open(&format!("{base}/accounts/newsletter"));
        let shown = browser.script("return document.getElementById('redirect-url').value");
        assert_eq!(shown, callback(port).as_str());
        looks_right(&browser, &of("account"));
        browser.go("form[action$='/login'] button");
        looks_right(&browser, &of("login"));
        browser.go("#go");
        if browser.url().contains("/interaction/") {
            if browser.source().contains("name=\"login\"") {
                browser.picture(&of("at-the-system"));
                browser.fill("input[name=login]", "ada");
                browser.fill("input[name=password]", "any");
                browser.go("button[type=submit]");
            }
            if browser.url().contains("/interaction/") {
                browser.go("button[type=submit]");
            }
        }
        assert_eq!(browser.text("h1"), "Logged in", "{}", browser.url());
        assert!(browser.text("main").contains("Example of ada"));
        looks_right(&browser, &of("logged-in"));
        browser.open(&format!("{base}/accounts/newsletter"));
        assert!(browser.text("main").contains("renewed by itself"));
        browser.go("form[action$='/test'] button");
        assert!(browser.text(".done").contains("The test passed"));
        looks_right(&browser, &of("tested"));
        browser.go("form[action$='/logout'] button");
        assert!(browser.text("main").contains("ended at the system"));
        looks_right(&browser, &of("logged-out"));
    }
}
