/** Where a model comes from and what came of it, as a graph in layers from left to right. */

export type NodeKind = "datanet" | "base" | "parent" | "self" | "child";

export interface LineageNode {
  id: string;
  kind: NodeKind;
  /** What the node is: "Datanet", "Base model". */
  role: string;
  label: string;
  /** A second line: "snapshot 3". */
  note: string | null;
  to: string | null;
}

export interface PlacedNode extends LineageNode {
  x: number;
  y: number;
}

export interface Edge {
  from: string;
  to: string;
  path: string;
}

export interface Layout {
  width: number;
  height: number;
  nodes: PlacedNode[];
  edges: Edge[];
}

export const NODE = { width: 190, height: 54, gapX: 66, gapY: 16, margin: 8 };

const COLUMN: Record<NodeKind, number> = { datanet: 0, base: 1, parent: 1, self: 2, child: 3 };

/** Places the nodes: data, then what it was trained on top of, then the model, then its children. */
export function layOut(nodes: readonly LineageNode[]): Layout {
  const used = [...new Set(nodes.map((node) => COLUMN[node.kind]))].sort((one, other) => one - other);
  const columns = used.map((column) => nodes.filter((node) => COLUMN[node.kind] === column));
  const tallest = Math.max(1, ...columns.map((column) => column.length));
  const step = NODE.height + NODE.gapY;
  const height = 2 * NODE.margin + tallest * step - NODE.gapY;
  const placed = columns.flatMap((column, at) => {
    const top = (height - (column.length * step - NODE.gapY)) / 2;
    const x = NODE.margin + at * (NODE.width + NODE.gapX);
    return column.map((node, row): PlacedNode => ({ ...node, x, y: top + row * step }));
  });
  const width = 2 * NODE.margin + Math.max(1, columns.length) * (NODE.width + NODE.gapX) - NODE.gapX;
  return { width, height, nodes: placed, edges: edges(placed) };
}

/** Everything before the model leads into it; it leads into its children. */
function edges(nodes: readonly PlacedNode[]): Edge[] {
  const self = nodes.find((node) => node.kind === "self");
  if (self === undefined) return [];
  return nodes
    .filter((node) => node !== self)
    .map((node) => (node.kind === "child" ? curve(self, node) : curve(node, self)));
}

function curve(from: PlacedNode, to: PlacedNode): Edge {
  const [x1, y1] = [from.x + NODE.width, from.y + NODE.height / 2];
  const [x2, y2] = [to.x, to.y + NODE.height / 2];
  const middle = NODE.gapX / 2;
  const path = `M${x1} ${y1} C${x1 + middle} ${y1} ${x2 - middle} ${y2} ${x2} ${y2}`;
  return { from: from.id, to: to.id, path };
}

/** Shortens a label to what fits a node. */
export function shorten(label: string, characters = 22): string {
  const points = [...label];
  return points.length <= characters ? label : `${points.slice(0, characters - 1).join("")}…`;
}
