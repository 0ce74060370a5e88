use std::borrow::Cow;

/// Headers as a signature needs them: names in lower case, sorted, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Headers<'a> {
    pub(crate) fn new() -> Self {
        // Room for what signing adds, and for most operations.
        Self(Vec::with_capacity(8))
    }

    /// Adds a header, or replaces the value it had.
    pub(crate) fn set(&mut self, name: &'a str, value: Cow<'a, str>) {
        let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        match self.0.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The names as `SignedHeaders` lists them.
    pub(crate) fn names(&self) -> String {
        let mut names = String::with_capacity(96);
        for (name, _) in self.iter() {
            if !names.is_empty() {
                names.push(';');
            }
            names.push_str(name);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_sorted_and_unique() {
        let mut headers = Headers::new();
        for (name, value) in [("X-Amz-Date", "1"), ("host", "2"), ("Content-Type", "3")] {
            headers.set(name, value.into());
        }
        headers.set("HOST", "4".into());
        assert_eq!(headers.names(), "content-type;host;x-amz-date");
        let values: Vec<_> = headers.iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["3", "4", "1"]);
    }
}
