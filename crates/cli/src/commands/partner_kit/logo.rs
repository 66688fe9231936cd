//! A look at a logo: an SVG of one size, transparent behind.

use super::tags::{Tag, tags};

/// What is defined in these is not drawn where it stands.
const ASIDE: [&str; 5] = ["defs", "clipPath", "mask", "symbol", "pattern"];

/// Says what is wrong with a logo that is to be so wide and high, in pixels.
pub(super) fn problems(svg: &[u8], (width, height): (u32, u32)) -> Vec<String> {
    let text = std::str::from_utf8(svg).ok();
    let found = text.and_then(tags).filter(|tags| tags.first().is_some_and(|it| it.name == "svg"));
    let Some(tags) = found else {
        return vec!["it is no SVG: its text does not begin with `<svg`".to_owned()];
    };
    let mut problems = vec![];
    let Some((root, inside)) = tags.split_first() else { return problems };
    size(root, (f64::from(width), f64::from(height)), &mut problems);
    let canvas = canvas(root, (f64::from(width), f64::from(height)));
    if root.get("style").is_some_and(|style| style.replace(' ', "").contains("background")) {
        problems.push("its `style` gives it a background: it has to be transparent".to_owned());
    }
    let mut aside: Vec<&str> = vec![];
    for tag in inside {
        if ASIDE.contains(&tag.name) {
            match tag.ends {
                true => drop(aside.pop()),
                false if !tag.empty => aside.push(tag.name),
                false => {}
            }
        }
        if tag.ends {
            continue;
        }
        match tag.name {
            "image" => problems
                .push("it holds a picture of pixels (`image`): draw it by shapes".to_owned()),
            "script" | "foreignObject" => {
                problems.push(format!("it holds `{}`, which dashboards do not show", tag.name));
            }
            "rect" | "path" | "polygon" if aside.is_empty() && covers(tag, canvas) => {
                problems.push(format!(
                    "a `{}` fills all of it: leave it out, the logo has to be transparent behind",
                    tag.name
                ));
            }
            _ => {}
        }
        let refers = tag.attributes.iter().filter(|(name, _)| name.ends_with("href"));
        if let Some((_, elsewhere)) = refers.clone().find(|(_, to)| to.starts_with("http")) {
            problems.push(format!("it refers to {elsewhere}: everything has to be in it"));
        }
    }
    problems
}

fn size(root: &Tag<'_>, wanted: (f64, f64), problems: &mut Vec<String>) {
    let (width, height) = (root.get("width"), root.get("height"));
    match (width, height, view_box(root)) {
        (None, None, Some([_, _, w, h])) if (w, h) == wanted => {}
        (None, None, _) => problems.push(format!(
            "it does not say how large it is: give `width=\"{}\" height=\"{}\"`",
            wanted.0, wanted.1
        )),
        _ if (width.and_then(pixels), height.and_then(pixels))
            == (Some(wanted.0), Some(wanted.1)) => {}
        _ => problems.push(format!(
            "it is {} x {}, and has to be {} x {}",
            width.unwrap_or("?"),
            height.unwrap_or("?"),
            wanted.0,
            wanted.1
        )),
    }
    if let Some([_, _, w, h]) = view_box(root)
        && (w / h - wanted.0 / wanted.1).abs() > 0.001
    {
        problems.push(format!("its `viewBox` is {w} x {h}, which leaves it room at two sides"));
    }
}

/// What the shapes' numbers count in: x, y, width and height of all that is seen.
fn canvas(root: &Tag<'_>, wanted: (f64, f64)) -> [f64; 4] {
    view_box(root).unwrap_or([0.0, 0.0, wanted.0, wanted.1])
}

fn view_box(root: &Tag<'_>) -> Option<[f64; 4]> {
    let text = root.get("viewBox")?.replace(',', " ");
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    let numbers: [f64; 4] = numbers.try_into().ok()?;
    numbers.iter().all(|it| it.is_finite()).then_some(numbers)
}

fn pixels(text: &str) -> Option<f64> {
    text.strip_suffix("px").unwrap_or(text).trim().parse().ok()
}

/// Whether a rectangle that can be seen covers all of it, drawn as such or by its corners.
fn covers(shape: &Tag<'_>, [left, top, wide, high]: [f64; 4]) -> bool {
    let style = |name: &str| {
        let styles = shape.get("style").into_iter().flat_map(|style| style.split(';'));
        let mut pairs = styles.filter_map(|pair| pair.split_once(':'));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let of = |name: &str| style(name).or_else(|| shape.get(name));
    let is_zero = |name: &str| of(name).and_then(pixels) == Some(0.0);
    let unseen = matches!(of("fill"), Some("none" | "transparent"))
        || is_zero("opacity")
        || is_zero("fill-opacity");
    if unseen {
        return false;
    }
    let corners = match shape.name {
        "path" => shape.get("d").and_then(corners_of_path),
        "polygon" => shape.get("points").and_then(corners_of_polygon),
        _ => None,
    };
    if shape.name != "rect" {
        return corners.and_then(|all| rectangle(&all)).is_some_and(|[x, y, to_x, to_y]| {
            x <= left && y <= top && to_x >= left + wide && to_y >= top + high
        });
    }
    let length = |name: &str, whole: f64| match of(name) {
        Some(text) => match text.strip_suffix('%') {
            Some(part) => part.trim().parse::<f64>().ok().map(|part| whole * part / 100.0),
            None => pixels(text),
        },
        None => None,
    };
    let begins =
        length("x", wide).unwrap_or(0.0) <= left && length("y", high).unwrap_or(0.0) <= top;
    let reaches = length("width", wide).is_some_and(|it| it >= wide)
        && length("height", high).is_some_and(|it| it >= high);
    begins && reaches
}

/// The corners of a path of straight lines; `None` if it has curves or several parts.
fn corners_of_path(d: &str) -> Option<Vec<(f64, f64)>> {
    let mut spaced = String::with_capacity(2 * d.len());
    for c in d.chars() {
        match c {
            ',' => spaced.push(' '),
            '-' => spaced.push_str(" -"),
            c if c.is_ascii_alphabetic() => spaced.extend([' ', c, ' ']),
            c => spaced.push(c),
        }
    }
    let mut words = spaced.split_whitespace().peekable();
    let (mut at, mut corners, mut command) = ((0.0, 0.0), vec![], ' ');
    while let Some(word) = words.peek() {
        if let Some(letter) = word.chars().next().filter(char::is_ascii_alphabetic) {
            if letter.eq_ignore_ascii_case(&'m') && !corners.is_empty() {
                return None;
            }
            command = letter;
            words.next();
            if command.eq_ignore_ascii_case(&'z') {
                continue;
            }
        }
        let mut number = || words.next()?.parse::<f64>().ok();
        let from = if command.is_ascii_lowercase() { at } else { (0.0, 0.0) };
        at = match command.to_ascii_lowercase() {
            'm' | 'l' => (from.0 + number()?, from.1 + number()?),
            'h' => (from.0 + number()?, at.1),
            'v' => (at.0, from.1 + number()?),
            _ => return None,
        };
        corners.push(at);
    }
    Some(corners)
}

fn corners_of_polygon(points: &str) -> Option<Vec<(f64, f64)>> {
    let numbers = points.replace(',', " ");
    let numbers: Option<Vec<f64>> = numbers.split_whitespace().map(|it| it.parse().ok()).collect();
    Some(
        numbers?.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect(),
    )
}

/// The edges of a rectangle with these corners: left, top, right, bottom. `None` if it is none.
fn rectangle(corners: &[(f64, f64)]) -> Option<[f64; 4]> {
    let edge =
        |of: fn(&(f64, f64)) -> f64, pick: fn(f64, f64) -> f64| corners.iter().map(of).reduce(pick);
    let (left, right) = (edge(|it| it.0, f64::min)?, edge(|it| it.0, f64::max)?);
    let (top, bottom) = (edge(|it| it.1, f64::min)?, edge(|it| it.1, f64::max)?);
    let is_there = |x: f64, y: f64| corners.contains(&(x, y));
    let has_all = [left, right].iter().all(|x| [top, bottom].iter().all(|y| is_there(*x, *y)));
    let has_no_other =
        corners.iter().all(|(x, y)| [left, right].contains(x) && [top, bottom].contains(y));
    (has_all && has_no_other).then_some([left, top, right, bottom])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(root: &str, inside: &str) -> Vec<String> {
        let svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" {root}>{inside}</svg>");
        problems(svg.as_bytes(), (40, 40))
    }

    #[test]
    fn a_logo_of_the_right_size_with_nothing_behind_passes() {
        let circle = "<circle cx=\"20\" cy=\"20\" r=\"18\" fill=\"#123456\"/>";
        for root in [
            "width=\"40\" height=\"40\"",
            "width=\"40px\" height='40px' viewBox=\"0 0 512 512\"",
            "viewBox=\"0 0 40 40\"",
        ] {
            assert_eq!(of(root, circle), [""; 0], "{root}");
        }
        for fine in [
            "<rect width=\"100%\" height=\"100%\" fill=\"none\"/>",
            "<rect x=\"1\" y=\"1\" width=\"38\" height=\"38\"/>",
            "<defs><clipPath id=\"a\"><rect width=\"40\" height=\"40\"/></clipPath></defs>",
            "<rect width=\"40\" height=\"40\" style=\"fill-opacity: 0\"/>",
            "<path d=\"M0 0h40v40H0z\" fill=\"none\"/>",
            "<path d=\"M0 0 40 0 20 40z\"/>",
            "<path d=\"M4,4 H36 V36 H4 Z\"/>",
            "<path d=\"M0 0C1 2 3 4 40 40\"/>",
            "<path d=\"M0 h\"/>",
        ] {
            assert_eq!(of("width=\"40\" height=\"40\"", fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (root, inside, problem) in [
            ("width=\"64\" height=\"64\"", "", "it is 64 x 64, and has to be 40 x 40"),
            ("viewBox=\"0 0 64 64\"", "", "does not say how large"),
            ("width=\"40\" height=\"40\" viewBox=\"0 0 80 40\"", "", "room at two sides"),
            ("width=\"40\" height=\"40\" style=\"background: #fff\"", "", "a background"),
            ("width=\"40\" height=\"40\"", "<rect width=\"100%\" height=\"100%\"/>", "fills all"),
            (
                "width=\"40\" height=\"40\" viewBox=\"0 0 80 80\"",
                "<rect width=\"80\" height=\"80\" fill=\"white\"/>",
                "fills all",
            ),
            ("width=\"40\" height=\"40\"", "<path d=\"M0 0h40v40H0z\"/>", "`path` fills all"),
            ("width=\"40\" height=\"40\"", "<path d=\"m-1,-1 42 0 0 42-42 0z\"/>", "fills all"),
            (
                "width=\"40\" height=\"40\"",
                "<polygon points=\"0,0 40,0 40,40 0,40\"/>",
                "`polygon` fills all",
            ),
            ("width=\"40\" height=\"40\"", "<image href=\"a.png\"/>", "picture of pixels"),
            ("width=\"40\" height=\"40\"", "<script>x</script>", "`script`"),
            ("width=\"40\" height=\"40\"", "<use href=\"https://a.test/b\"/>", "refers to"),
        ] {
            let found = of(root, inside);
            assert!(found.iter().any(|it| it.contains(problem)), "{problem}: {found:?}");
        }
        for odd in [&b"\x89PNG\r\n"[..], b"<html></html>", b"", b"\xff"] {
            assert!(problems(odd, (40, 40)).first().unwrap().contains("no SVG"));
        }
    }
}
