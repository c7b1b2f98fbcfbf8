//! Row-major f32 matrices, owned and borrowed.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};

/// A borrowed row-major matrix; rows may lie further apart than they are long.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    /// From the first element to the last.
    data: &'a [f32],
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<'a> MatRef<'a> {
    /// Views `data` as `rows` x `cols`.
    ///
    /// # Panics
    /// If the length is not `rows * cols`.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} matrix");
        Self { data, rows, cols, stride: cols }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn cols(self) -> usize {
        self.cols
    }

    /// Elements from the start of a row to that of the next.
    pub(crate) fn stride(self) -> usize {
        self.stride
    }

    /// The first element; `rows` rows of `cols` elements follow, `stride` apart.
    pub(crate) fn as_ptr(self) -> *const f32 {
        self.data.as_ptr()
    }

    /// All elements, row after row.
    ///
    /// # Panics
    /// If there are gaps between the rows.
    #[must_use]
    pub fn data(self) -> &'a [f32] {
        assert!(self.stride == self.cols || self.rows < 2, "a matrix without gaps");
        self.data
    }

    /// One row.
    #[must_use]
    pub fn row(self, row: usize) -> &'a [f32] {
        &self.data[row * self.stride..row * self.stride + self.cols]
    }

    /// Some consecutive rows.
    #[must_use]
    pub fn rows_at(self, rows: std::ops::Range<usize>) -> Self {
        let data = &self.data[span(self.stride, self.cols, &rows)];
        Self { data, rows: rows.len(), ..self }
    }

    /// Some consecutive columns.
    ///
    /// # Panics
    /// If there are not as many.
    #[must_use]
    pub fn cols_at(self, cols: std::ops::Range<usize>) -> Self {
        assert!(cols.start <= cols.end && cols.end <= self.cols, "columns of a matrix");
        let end = if self.rows == 0 { cols.start } else { (self.rows - 1) * self.stride + cols.end };
        let data = self.data.get(cols.start..end).unwrap_or_default();
        Self { data, cols: cols.len(), ..self }
    }

    /// An owned copy.
    #[must_use]
    pub fn to_mat(self) -> Mat {
        let mut out = Mat::zeros(self.rows, self.cols);
        (0..self.rows)
            .for_each(|row| out.data_mut()[row * self.cols..(row + 1) * self.cols].copy_from_slice(self.row(row)));
        out
    }

    /// An owned transpose.
    #[must_use]
    pub fn transposed(self) -> Mat {
        let mut out = Mat::zeros(self.cols, self.rows);
        transpose(self, out.data_mut());
        out
    }
}

impl PartialEq for MatRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        let shape = (self.rows, self.cols) == (other.rows, other.cols);
        shape && (0..self.rows).all(|row| self.row(row) == other.row(row))
    }
}

/// Where rows lie whose starts are `stride` apart.
fn span(stride: usize, cols: usize, rows: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    let end = if rows.is_empty() { rows.start * stride } else { (rows.end - 1) * stride + cols };
    rows.start * stride..end
}

/// Side of the squares in which a transpose proceeds, so that both sides stay in cache.
const TRANSPOSE_SQUARE: usize = 16;

fn transpose(from: MatRef<'_>, to: &mut [f32]) {
    for row0 in (0..from.rows).step_by(TRANSPOSE_SQUARE) {
        for col0 in (0..from.cols).step_by(TRANSPOSE_SQUARE) {
            for row in row0..from.rows.min(row0 + TRANSPOSE_SQUARE) {
                for col in col0..from.cols.min(col0 + TRANSPOSE_SQUARE) {
                    to[col * from.rows + row] = from.data[row * from.stride + col];
                }
            }
        }
    }
}

/// Elements of a cache line, which is also the widest vector.
const LINE: usize = 16;

/// A cache line's elements: rows of whole lines never share one, and no vector of theirs straddles two.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// As many lines, all zero, of memory that the system need not provide before it is written.
fn zeroed(lines: usize) -> Vec<Line> {
    if lines == 0 {
        return Vec::new();
    }
    let layout = Layout::array::<Line>(lines).unwrap_or_else(|_| panic!("{lines} lines are more than memory can hold"));
    // SAFETY: the layout is not empty; zero bytes are zeros; the vector has the layout's length, alignment and allocator.
    unsafe {
        let ptr = alloc_zeroed(layout);
        if ptr.is_null() {
            handle_alloc_error(layout);
        }
        Vec::from_raw_parts(ptr.cast(), lines, lines)
    }
}

/// An owned row-major matrix.
#[derive(Clone, Debug, Default)]
pub struct Mat {
    /// At least the elements: a matrix that has been larger keeps its memory, written, for when it is so again.
    lines: Vec<Line>,
    rows: usize,
    cols: usize,
}

impl Mat {
    /// All zero.
    #[must_use]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { lines: zeroed((rows * cols).div_ceil(LINE)), rows, cols }
    }

    /// Gives the matrix that shape, keeping its memory; what it holds afterwards is unspecified.
    pub fn reshape(&mut self, rows: usize, cols: usize) {
        let lines = (rows * cols).div_ceil(LINE);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0.0; LINE]));
        }
        (self.rows, self.cols) = (rows, cols);
    }

    /// Sets every element.
    pub fn fill(&mut self, value: f32) {
        self.data_mut().fill(value);
    }

    /// Becomes the transpose of `from`.
    pub fn transpose_from(&mut self, from: MatRef<'_>) {
        self.reshape(from.cols, from.rows);
        transpose(from, self.data_mut());
    }

    /// Borrows it.
    #[must_use]
    pub fn view(&self) -> MatRef<'_> {
        MatRef::new(self.data(), self.rows, self.cols)
    }

    /// Borrows it to be changed.
    #[must_use]
    pub fn view_mut(&mut self) -> MatMut<'_> {
        let (rows, cols) = (self.rows, self.cols);
        MatMut { data: self.data_mut(), rows, cols }
    }

    /// All elements.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        // SAFETY: the lines hold at least as many elements, all of them written, one after the other.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.rows * self.cols) }
    }

    /// All elements, to be changed.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `data`; they are borrowed with the matrix.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.rows * self.cols) }
    }
}

impl PartialEq for Mat {
    fn eq(&self, other: &Self) -> bool {
        self.view() == other.view()
    }
}

/// A borrowed row-major matrix without gaps that can be changed.
#[derive(Debug, PartialEq)]
pub struct MatMut<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl<'a> MatMut<'a> {
    /// Views `data` as `rows` x `cols`.
    ///
    /// # Panics
    /// If the length is not `rows * cols`.
    #[must_use]
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} matrix");
        Self { data, rows, cols }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }
}
