//! `90s`, `15m`, `1h`, `7d`.

/// Parses a time span into seconds.
pub(crate) fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no time span such as 90s, 15m, 1h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let digits = text.strip_suffix(unit).unwrap_or_default();
    let count: u32 = digits.parse().map_err(|_| wrong())?;
    Ok(i64::from(count) * factor)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn spans() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("1h"), Ok(3_600));
        assert_eq!(seconds("7d"), Ok(604_800));
        for wrong in ["", "h", "1", "-1h", "1.5h", "1w", "h1", "1é"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
