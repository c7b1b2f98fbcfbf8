/** Where quoted passages stand in an answer. Offsets count UTF-16 code units, as JavaScript strings do. */

export interface Range {
  start_utf16: number;
  end_utf16: number;
}

/** A run of text with the passages that cover it, by their positions in the list; none for plain text. */
export interface Piece {
  start: number;
  end: number;
  spans: readonly number[];
}

/** More passages than a page can show as buttons; the rest is listed in the drawer only. */
export const SPANS_DRAWN_MAX = 500;

/** Cuts a text of `length` units at the edges of its passages. Passages may overlap; those outside are left out. */
export function layOut(length: number, spans: readonly Range[]): Piece[] {
  const usable = spans
    .slice(0, SPANS_DRAWN_MAX)
    .map((span, index) => ({
      index,
      start: Math.max(0, span.start_utf16),
      end: Math.min(length, span.end_utf16),
    }))
    .filter(({ start, end }) => Number.isInteger(start) && Number.isInteger(end) && start < end);
  const edges = new Set([0, length, ...usable.flatMap(({ start, end }) => [start, end])]);
  const cuts = [...edges].sort((one, other) => one - other);
  const pieces: Piece[] = [];
  for (let at = 0; at + 1 < cuts.length; at += 1) {
    const [start = 0, end = 0] = [cuts[at], cuts[at + 1]];
    const covering = usable
      .filter((span) => span.start <= start && end <= span.end)
      .map(({ index }) => index);
    pieces.push({ start, end, spans: covering });
  }
  return pieces;
}

/** The pieces between two offsets, cut to them. */
export function within(pieces: readonly Piece[], start: number, end: number): Piece[] {
  return pieces
    .filter((piece) => piece.start < end && start < piece.end)
    .map((piece) => ({ ...piece, start: Math.max(piece.start, start), end: Math.min(piece.end, end) }));
}

/** How much of a text passages cover, 0 to 1. */
export function covered(length: number, pieces: readonly Piece[]): number {
  const quoted = pieces
    .filter((piece) => piece.spans.length > 0)
    .reduce((sum, piece) => sum + piece.end - piece.start, 0);
  return length === 0 ? 0 : quoted / length;
}

/** The parts of a HTML tree that marking needs. */
export interface HtmlNode {
  type: string;
  value?: string;
  tagName?: string;
  properties?: Record<string, unknown>;
  children?: HtmlNode[];
  position?: { start: { offset?: number }; end: { offset?: number } };
}

/**
 * Where a text node's own text stands in the Markdown that it was made of. Most nodes stand there unit by unit; code
 * has its fences around it. Null where escapes or entities changed the text, so that offsets say nothing.
 */
export function textOffset(source: string, node: HtmlNode, within?: HtmlNode): number | null {
  const { value = "" } = node;
  const place = node.position ?? within?.position;
  const [start, end] = [place?.start.offset, place?.end.offset];
  if (start === undefined || end === undefined || value === "") return null;
  const at = source.slice(start, end).indexOf(value);
  if (at >= 0) return start + at;
  // A code block's text ends with a line break that the source may lack.
  const trimmed = value.replace(/\n$/, "");
  const found = trimmed === "" ? -1 : source.slice(start, end).indexOf(trimmed);
  return found >= 0 ? start + found : null;
}

/** Wraps the passages of a Markdown answer's HTML tree in `mark` elements, each naming its passages. */
export function markTree(tree: HtmlNode, source: string, pieces: readonly Piece[]): void {
  const visit = (node: HtmlNode) => {
    node.children = node.children?.flatMap((child) => {
      if (child.type !== "text") {
        // A link is pressed for itself; a passage in it is listed with the others, but is no button of its own.
        if (child.tagName !== "a") visit(child);
        return [child];
      }
      return markText(child, textOffset(source, child, node), pieces);
    });
  };
  if (pieces.some((piece) => piece.spans.length > 0)) visit(tree);
}

function markText(node: HtmlNode, offset: number | null, pieces: readonly Piece[]): HtmlNode[] {
  const { value = "" } = node;
  if (offset === null) return [node];
  const cut = within(pieces, offset, offset + value.length);
  if (!cut.some((piece) => piece.spans.length > 0)) return [node];
  const parts: HtmlNode[] = cut.map(({ start, end, spans }) => {
    const text = { type: "text", value: value.slice(start - offset, end - offset) };
    const properties = { "data-spans": spans.join(" ") };
    return spans.length === 0 ? text : { type: "element", tagName: "mark", properties, children: [text] };
  });
  const last = (cut.at(-1)?.end ?? offset) - offset;
  return last < value.length ? [...parts, { type: "text", value: value.slice(last) }] : parts;
}
