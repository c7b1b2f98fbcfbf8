/** Tables as files. */

export type Cell = string | number | bigint | null;

/** A spreadsheet takes text that begins like this for a formula; somebody else may have chosen it. */
const FORMULA = /^\s*[=+\-@|%\t\r]/;
const QUOTED = /[",\r\n]/;

function cell(value: Cell): string {
  if (value === null) return "";
  if (typeof value !== "string") return String(value);
  const plain = FORMULA.test(value) ? `'${value}` : value;
  return QUOTED.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** Rows under their header as RFC 4180 writes them. */
export function toCsv(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
