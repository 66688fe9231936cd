//! A look at a logo: an SVG of one size, transparent behind. It is drawn, as whoever shows it does.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::roxmltree::{Document, Node, ParsingOptions};
use resvg::usvg::{self, ImageHrefResolver, Options, Tree};

/// A logo has no more elements, and no more of them within each other count.
const MOST_NODES: u32 = 100_000;

/// Says what is wrong with a logo that is to be so wide and high, in pixels.
pub(super) fn problems(svg: &[u8], wanted: (u32, u32)) -> Vec<String> {
    let not_drawn = |why: &str| vec![format!("it is no SVG that can be drawn: {why}")];
    let Ok(text) = std::str::from_utf8(svg) else {
        return not_drawn("it is not text in UTF-8; unpack what is compressed");
    };
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MOST_NODES, ..Default::default() };
    let document = match Document::parse_with_options(text, options) {
        Ok(document) => document,
        Err(error) => return not_drawn(&error.to_string()),
    };
    let root = document.root_element();
    if root.tag_name().name() != "svg" || root.tag_name().namespace().is_none() {
        return not_drawn("it begins with no `<svg xmlns=\"http://www.w3.org/2000/svg\">`");
    }
    // Nothing is read but the file itself.
    let image_href_resolver = ImageHrefResolver {
        resolve_data: Box::new(|_, _, _| None),
        resolve_string: Box::new(|_, _| None),
    };
    let options = Options { image_href_resolver, ..Options::default() };
    let tree = match Tree::from_xmltree(&document, &options) {
        Ok(tree) => tree,
        Err(error) => return not_drawn(&error.to_string()),
    };
    let mut problems = vec![];
    problems.extend(size(root, tree.size(), wanted));
    problems.extend(held(root));
    problems.extend(behind(&tree, wanted));
    problems
}

fn size(root: Node<'_, '_>, is: usvg::Size, (width, height): (u32, u32)) -> Option<String> {
    let near = |is: f32, wanted: u32| (f64::from(is) - f64::from(wanted)).abs() < 0.01;
    if near(is.width(), width) && near(is.height(), height) {
        return None;
    }
    if root.has_attribute("width") && root.has_attribute("height") {
        let (is_wide, is_high) = (is.width(), is.height());
        return Some(format!("it is {is_wide} x {is_high}, and has to be {width} x {height}"));
    }
    let give = format!("give `width=\"{width}\" height=\"{height}\"`");
    Some(format!("it does not say how large it is: {give}"))
}

/// What pages show otherwise than it is drawn here, or not at all.
fn held(root: Node<'_, '_>) -> Vec<String> {
    let mut problems = vec![];
    for node in root.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        match name {
            "image" => problems
                .push("it holds a picture of pixels (`image`): draw it by shapes".to_owned()),
            "text" => problems.push(
                "it holds `text`, which looks otherwise where its font is missing: make shapes of it"
                    .to_owned(),
            ),
            "script" | "foreignObject" => {
                problems.push(format!("it holds `{name}`, which dashboards do not show"));
            }
            _ => {}
        }
        let style = match name {
            "style" => node.text(),
            _ => node.attribute("style"),
        };
        if style.is_some_and(|style| style.contains("background")) {
            problems.push(format!(
                "a style of its `{name}` gives a background: it has to be transparent"
            ));
        }
        let refers = node.attributes().filter(|it| it.name() == "href").map(|it| it.value());
        if let Some(elsewhere) = refers.chain(style).find(|it| it.contains("://")) {
            problems.push(format!("it refers to {elsewhere}: everything has to be in it"));
        }
    }
    problems
}

/// What is behind the logo, by its picture: a background is what covers all corners and most of what
/// lies between. A badge that leaves its corners open is the logo's own shape.
fn behind(tree: &Tree, (width, height): (u32, u32)) -> Option<String> {
    let mut picture = Pixmap::new(width, height)?;
    let (across, down) = (f64::from(width), f64::from(height));
    let (is_wide, is_high) = (f64::from(tree.size().width()), f64::from(tree.size().height()));
    #[expect(clippy::cast_possible_truncation, reason = "a scale needs no more digits")]
    let scale = Transform::from_scale((across / is_wide) as f32, (down / is_high) as f32);
    resvg::render(tree, scale, &mut picture.as_mut());
    let pixels = picture.pixels();
    let covered = pixels.iter().filter(|pixel| pixel.alpha() > 0).count();
    if covered == 0 {
        return Some("nothing of it can be seen: draw it by shapes".to_owned());
    }
    let corners = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)];
    let is_covered = |(x, y)| picture.pixel(x, y).is_some_and(|pixel| pixel.alpha() > 0);
    let fills = corners.into_iter().all(is_covered) && 2 * covered > pixels.len();
    let percent = 100 * covered / pixels.len();
    fills.then(|| {
        format!(
            "what it draws covers its corners and {percent} % of it: leave the background out, the \
             logo has to be transparent behind"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(root: &str, inside: &str) -> Vec<String> {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
             {root}>{inside}</svg>"
        );
        problems(svg.as_bytes(), (40, 40))
    }

    const SIZE: &str = "width=\"40\" height=\"40\"";

    #[test]
    fn a_logo_of_the_right_size_with_nothing_behind_passes() {
        let circle = "<circle cx=\"20\" cy=\"20\" r=\"18\" fill=\"#123456\"/>";
        for root in [
            SIZE,
            "width=\"40px\" height='40px' viewBox=\"0 0 41 41\"",
            "width=\"100%\" height=\"100%\" viewBox=\"0 0 40 40\"",
            "viewBox=\"0 0 40 40\"",
        ] {
            assert_eq!(of(root, circle), [""; 0], "{root}");
        }
        for seen in [
            "<rect x=\"1\" y=\"1\" width=\"38\" height=\"38\"/>",
            "<path d=\"M0 0 40 0 20 40z\"/>",
            "<path d=\"M4,4 H36 V36 H4 Z\"/>",
            "<circle cx=\"20\" cy=\"20\" r=\"20\"/>",
            "<rect width=\"40\" height=\"40\" rx=\"12\"/>",
            // A frame and a cross touch the corners, and have nothing behind.
            "<rect width=\"40\" height=\"40\" fill=\"none\" stroke=\"red\" stroke-width=\"4\"/>",
            "<path d=\"M0 0 40 40M40 0 0 40\" stroke=\"red\" stroke-width=\"4\"/>",
            "<g fill=\"none\"><rect width=\"40\" height=\"40\"/></g><path d=\"M9 9h9v9z\"/>",
        ] {
            assert_eq!(of(SIZE, seen), [""; 0], "{seen}");
        }
        for unseen in [
            "<rect width=\"100%\" height=\"100%\" fill=\"none\"/>",
            "<rect width=\"40\" height=\"40\" style=\"fill-opacity: 0\"/>",
            "<rect width=\"40\" height=\"40\" display=\"none\"/>",
            "<defs><rect id=\"a\" width=\"40\" height=\"40\"/></defs>",
            "<rect x=\"-100\" width=\"40\" height=\"40\"/>",
        ] {
            assert_eq!(of(SIZE, &format!("{unseen}{circle}")), [""; 0], "{unseen}");
        }
    }

    #[test]
    fn a_background_is_found_however_it_is_drawn() {
        let logo = "<circle cx=\"20\" cy=\"20\" r=\"9\" fill=\"red\"/>";
        for background in [
            "<rect width=\"100%\" height=\"100%\"/>",
            "<rect width=\"40\" height=\"40\" fill=\"white\"/>",
            "<rect width=\"40\" height=\"40\" opacity=\"0.1\"/>",
            "<path d=\"M0 0h40v40H0z\"/>",
            "<path d=\"m-1,-1 42 0 0 42-42 0z\"/>",
            "<path d=\"M-30 20C-30 -60 70 -60 70 20C70 100 -30 100 -30 20z\"/>",
            "<polygon points=\"0,0 40,0 40,40 0,40\"/>",
            "<circle cx=\"20\" cy=\"20\" r=\"30\"/>",
            "<ellipse cx=\"20\" cy=\"20\" rx=\"75%\" ry=\"30\"/>",
            "<rect width=\"4\" height=\"4\" transform=\"scale(10)\"/>",
            "<g transform=\"translate(-5 -5) scale(5)\"><rect width=\"10\" height=\"10\"/></g>",
            "<defs><rect id=\"a\" width=\"40\" height=\"40\"/></defs><use href=\"#a\"/>",
            "<symbol id=\"a\"><rect width=\"40\" height=\"40\"/></symbol><use xlink:href=\"#a\"/>",
            "<style>.b { fill: #fff }</style><rect class=\"b\" width=\"40\" height=\"40\"/>",
            "<line x2=\"40\" y1=\"20\" y2=\"20\" stroke=\"red\" stroke-width=\"40\"/>",
            "<path d=\"M0 0h40v20H0z\"/><path d=\"M0 20h40v20H0z\"/>",
        ] {
            let found = of(SIZE, &format!("{background}{logo}"));
            let [found] = &found[..] else { panic!("{background}: {found:?}") };
            assert!(found.contains("covers its corners and 100 %"), "{background}: {found}");
        }
        let larger = "width=\"40\" height=\"40\" viewBox=\"0 0 512 512\"";
        let found = of(larger, "<rect width=\"512\" height=\"512\" fill=\"white\"/>");
        assert!(found.concat().contains("covers its corners"), "{found:?}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (root, inside, problem) in [
            ("width=\"64\" height=\"64\"", "", "it is 64 x 64, and has to be 40 x 40"),
            ("width=\"1in\" height=\"40\"", "", "it is 96 x 40"),
            ("viewBox=\"0 0 64 64\"", "", "does not say how large"),
            ("", "", "does not say how large"),
            (SIZE, "", "nothing of it can be seen"),
            (
                "width=\"40\" height=\"40\" style=\"background: #fff\"",
                "",
                "`svg` gives a background",
            ),
            (SIZE, "<style>svg { background-color: red }</style>", "`style` gives a background"),
            (SIZE, "<style>@import url(https://a.test/b);</style>", "refers to"),
            (SIZE, "<image href=\"a.png\"/>", "picture of pixels"),
            (SIZE, "<text>Acme</text>", "make shapes of it"),
            (SIZE, "<script>x</script>", "`script`"),
            (SIZE, "<use href=\"https://a.test/b\"/>", "refers to"),
            (SIZE, "<g>", "no SVG"),
            ("width=\"0\" height=\"40\"", "", "no SVG"),
        ] {
            let found = of(root, inside);
            assert!(found.iter().any(|it| it.contains(problem)), "{problem}: {found:?}");
        }
        let bare = b"<svg width=\"40\" height=\"40\"/>";
        for odd in [&b"\x89PNG\r\n"[..], b"<html></html>", b"", b"\xff", b"\x1f\x8b", bare] {
            assert!(problems(odd, (40, 40)).first().unwrap().contains("no SVG"));
        }
    }
}
