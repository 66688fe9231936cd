//! Which levels there are, and how they are written.

/// The levels, the gravest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads levels: one for everything, and others for parts of the program.
pub(crate) fn levels(text: &str) -> Result<String, String> {
    for part in text.split(',').map(str::trim) {
        let (target, level) = part.split_once('=').unwrap_or(("", part));
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
        let is_target = target.chars().all(fits) && (target.is_empty() != part.contains('='));
        if !is_target || !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(format!(
                "`{part}` is no level: there are {}, each also for a part of the program, such as \
                 warn,towpath_engine=debug",
                LEVELS.join(", ")
            ));
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::levels;

    #[test]
    fn what_is_no_level_is_refused_with_the_list() {
        for good in ["warn", "INFO", "off", "trace,sled=info", "warn, towpath_engine::run=debug"] {
            assert_eq!(levels(good).as_deref(), Ok(good));
        }
        for wrong in ["", "verbose", "warn,", "towpath_engine", "x=loud", "=debug", "a b=info"] {
            let problem = levels(wrong).unwrap_err();
            assert!(problem.contains("off, error, warn, info, debug, trace"), "{wrong}: {problem}");
        }
    }
}
