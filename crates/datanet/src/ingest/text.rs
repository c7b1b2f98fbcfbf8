//! Lines, paragraphs and Markdown sections.

use std::io::BufRead;

use super::report::{Collector, RowFault};
use super::{IngestError, RejectCode};
use crate::limits::ROW_BYTES_MAX;
use crate::record::Record;

/// A line without its ending, or why it cannot be used.
pub(super) enum Line {
    Text(String),
    Fault(RowFault),
}

/// The next line; at most [`ROW_BYTES_MAX`] bytes of it are held.
pub(super) fn next_line(source: &mut dyn BufRead) -> Result<Option<Line>, IngestError> {
    let mut line = Vec::new();
    let mut bytes = 0usize;
    loop {
        let available = source.fill_buf().map_err(|source| IngestError::Io { source })?;
        if available.is_empty() {
            break;
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        line.extend_from_slice(&part[..part.len().min(ROW_BYTES_MAX.saturating_sub(line.len()))]);
        let used = part.len() + usize::from(end.is_some());
        bytes += used;
        source.consume(used);
        if end.is_some() {
            break;
        }
    }
    Ok((bytes > 0).then(|| finished(line, bytes)))
}

fn finished(mut line: Vec<u8>, bytes: usize) -> Line {
    if bytes > ROW_BYTES_MAX {
        let reason = format!("the row has {bytes} bytes; the limit is {ROW_BYTES_MAX}");
        return Line::Fault(RowFault::new(RejectCode::TooLong, reason));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    match String::from_utf8(line) {
        Ok(text) => Line::Text(text),
        Err(error) => Line::Fault(invalid_utf8(error.utf8_error().valid_up_to())),
    }
}

pub(super) fn invalid_utf8(valid_up_to: usize) -> RowFault {
    let reason = format!("not UTF-8 at byte {} of the row", valid_up_to + 1);
    RowFault::new(RejectCode::InvalidUtf8, reason)
}

/// One record a paragraph.
pub(super) fn read_paragraphs(source: &mut dyn BufRead, collector: &mut Collector) -> Result<(), IngestError> {
    let mut blocks = Blocks::new(collector);
    while let Some(line) = next_line(source)? {
        match line {
            Line::Text(text) if text.trim().is_empty() => blocks.end()?,
            line => blocks.add(line),
        }
    }
    blocks.end()
}

/// One record a section: a heading of whatever level with all that follows until the next one. A heading without text
/// joins what follows it; `#` inside fenced code is no heading.
pub(super) fn read_sections(source: &mut dyn BufRead, collector: &mut Collector) -> Result<(), IngestError> {
    let mut blocks = Blocks::new(collector);
    let mut fence: Option<&'static str> = None;
    let mut only_headings = true;
    while let Some(line) = next_line(source)? {
        if let Line::Text(text) = &line {
            fence = fence_after(fence, text);
            let heading = fence.is_none() && is_heading(text);
            if heading && !only_headings {
                blocks.end()?;
                only_headings = true;
            }
            only_headings &= heading || text.trim().is_empty();
        }
        blocks.add(line);
    }
    blocks.end()
}

fn is_heading(line: &str) -> bool {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    (1..=6).contains(&level) && line[level..].starts_with([' ', '\t'])
}

fn fence_after(open: Option<&'static str>, line: &str) -> Option<&'static str> {
    let marker = ["```", "~~~"].into_iter().find(|marker| line.trim_start().starts_with(marker));
    match (open, marker) {
        (None, marker) => marker,
        (Some(open), Some(marker)) if open == marker => None,
        (open, _) => open,
    }
}

/// Gathers lines into blocks, one row each.
struct Blocks<'a> {
    collector: &'a mut Collector,
    text: String,
    fault: Option<RowFault>,
    row: u64,
}

impl<'a> Blocks<'a> {
    fn new(collector: &'a mut Collector) -> Self {
        Self { collector, text: String::new(), fault: None, row: 0 }
    }

    fn add(&mut self, line: Line) {
        match line {
            Line::Fault(fault) => {
                self.fault.get_or_insert(fault);
            }
            Line::Text(line) if self.text.len() + line.len() <= ROW_BYTES_MAX => {
                self.text.push_str(&line);
                self.text.push('\n');
            }
            Line::Text(_) => {
                let reason = format!("more than {ROW_BYTES_MAX} bytes; divide it");
                self.fault.get_or_insert(RowFault::new(RejectCode::TooLong, reason));
            }
        }
    }

    fn end(&mut self) -> Result<(), IngestError> {
        let text = std::mem::take(&mut self.text);
        let fault = self.fault.take();
        if text.trim().is_empty() && fault.is_none() {
            return Ok(());
        }
        self.row += 1;
        let made = fault.map_or(Ok(Record::Text { text }), Err);
        self.collector.take(self.row, made, &|_| None)
    }
}
