//! Row-major f32 matrices, owned and borrowed.

/// A borrowed row-major matrix without gaps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
}

impl<'a> MatRef<'a> {
    /// Views `data` as `rows` x `cols`.
    ///
    /// # Panics
    /// If the length is not `rows * cols`.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} matrix");
        Self { data, rows, cols }
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

    /// All elements, row after row.
    #[must_use]
    pub fn data(self) -> &'a [f32] {
        self.data
    }

    /// One row.
    #[must_use]
    pub fn row(self, row: usize) -> &'a [f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// Some consecutive rows.
    #[must_use]
    pub fn rows_at(self, rows: std::ops::Range<usize>) -> Self {
        Self { data: &self.data[rows.start * self.cols..rows.end * self.cols], rows: rows.len(), cols: self.cols }
    }

    /// An owned copy.
    #[must_use]
    pub fn to_mat(self) -> Mat {
        Mat { data: self.data.to_vec(), rows: self.rows, cols: self.cols }
    }

    /// An owned transpose.
    #[must_use]
    pub fn transposed(self) -> Mat {
        let mut out = Mat::zeros(self.cols, self.rows);
        transpose(self, &mut out.data);
        out
    }
}

/// Side of the squares in which a transpose proceeds, so that both sides stay in cache.
const TRANSPOSE_SQUARE: usize = 16;

fn transpose(from: MatRef<'_>, to: &mut [f32]) {
    for row0 in (0..from.rows).step_by(TRANSPOSE_SQUARE) {
        for col0 in (0..from.cols).step_by(TRANSPOSE_SQUARE) {
            for row in row0..from.rows.min(row0 + TRANSPOSE_SQUARE) {
                for col in col0..from.cols.min(col0 + TRANSPOSE_SQUARE) {
                    to[col * from.rows + row] = from.data[row * from.cols + col];
                }
            }
        }
    }
}

/// An owned row-major matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mat {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
}

impl Mat {
    /// All zero.
    #[must_use]
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { data: vec![0.0; rows * cols], rows, cols }
    }

    /// Gives the matrix that shape, keeping its memory; what it holds afterwards is unspecified.
    pub fn reshape(&mut self, rows: usize, cols: usize) {
        self.data.resize(rows * cols, 0.0);
        (self.rows, self.cols) = (rows, cols);
    }

    /// Sets every element.
    pub fn fill(&mut self, value: f32) {
        self.data.fill(value);
    }

    /// Becomes the transpose of `from`.
    pub fn transpose_from(&mut self, from: MatRef<'_>) {
        self.reshape(from.cols, from.rows);
        transpose(from, &mut self.data);
    }

    /// Borrows it.
    #[must_use]
    pub fn view(&self) -> MatRef<'_> {
        MatRef { data: &self.data, rows: self.rows, cols: self.cols }
    }

    /// Borrows it to be changed.
    #[must_use]
    pub fn view_mut(&mut self) -> MatMut<'_> {
        MatMut { data: &mut self.data, rows: self.rows, cols: self.cols }
    }

    /// All elements.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All elements, to be changed.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
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
