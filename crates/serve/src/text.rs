//! From sampled tokens to text that may be shown: nothing of a stop string.

/// Finds the earliest stop string in a stream of text, and holds back what may be the start of one.
#[derive(Debug, Default)]
pub(crate) struct StopScan {
    stops: Vec<String>,
    held: String,
}

impl StopScan {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new() }
    }

    /// Adds `piece`; returns the text that is now certain, and whether a stop string was found right after it.
    pub(crate) fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        if let Some(at) = self.earliest() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.held.len() - self.open_suffix();
        let open = self.held.split_off(keep);
        (std::mem::replace(&mut self.held, open), false)
    }

    /// The text that was held back, once no more can follow.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    fn earliest(&self) -> Option<usize> {
        self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min()
    }

    /// Bytes of the longest end of the held text that starts a stop string.
    fn open_suffix(&self) -> usize {
        self.stops.iter().map(|stop| longest_overlap(&self.held, stop)).max().unwrap_or(0)
    }
}

fn longest_overlap(text: &str, stop: &str) -> usize {
    let most = text.len().min(stop.len().saturating_sub(1));
    (1..=most).rev().find(|&n| stop.as_bytes().starts_with(&text.as_bytes()[text.len() - n..])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::StopScan;

    fn scan(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut scan = StopScan::new(stops.iter().map(|s| s.to_string()).collect());
        let mut out = String::new();
        for piece in pieces {
            let (ready, stopped) = scan.push(piece);
            out.push_str(&ready);
            if stopped {
                return (out, true);
            }
        }
        out.push_str(&scan.finish());
        (out, false)
    }

    #[test]
    fn text_before_a_stop_string_that_spans_pieces_is_kept() {
        assert_eq!(scan(&["\n\nUser"], &["one\n", "\nUs", "er: two"]), ("one".into(), true));
    }

    #[test]
    fn a_start_that_does_not_become_a_stop_string_is_shown() {
        assert_eq!(scan(&["###"], &["a##", "b#"]), ("a##b#".into(), false));
    }

    #[test]
    fn the_earliest_of_several_stop_strings_wins() {
        assert_eq!(scan(&["end", "e"], &["one end"]), ("on".into(), true));
    }

    #[test]
    fn a_stop_string_of_many_bytes_a_character_does_not_split_characters() {
        assert_eq!(scan(&["é!"], &["caf", "é", "?"]), ("café?".into(), false));
    }
}
