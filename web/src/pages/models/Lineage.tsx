import { useQueries } from "@tanstack/react-query";
import { useId } from "react";
import { Link } from "react-router";
import { shortHex } from "../../lib/format";
import { Card } from "../../ui/Page";
import { type LineageNode, layOut, NODE, shorten } from "./layout";
import { links } from "./links";
import type { Manifest } from "./manifest";
import { datanetNameQuery, type ModelDetail, type ModelLink } from "./queries";

function modelNode(kind: "parent" | "child", link: ModelLink): LineageNode {
  return {
    id: `${kind}-${link.id}`,
    kind,
    role: kind === "parent" ? "Parent model" : "Child model",
    label: link.name ?? shortHex(link.id),
    note: link.name === null ? "not served here" : null,
    to: link.name === null ? null : links.model(link.name),
  };
}

/** The graph of where a model comes from, with the same as a list. */
export function Lineage({ model, manifest, base }: { model: ModelDetail; manifest: Manifest; base: string }) {
  const names = useQueries({ queries: manifest.snapshots.map(({ datanet }) => datanetNameQuery(datanet)) });
  const nodes: LineageNode[] = [
    ...manifest.snapshots.map(
      ({ datanet, snapshot }, index): LineageNode => ({
        id: `datanet-${datanet}-${snapshot}`,
        kind: "datanet",
        role: "Datanet",
        label: names[index]?.data ?? `Datanet ${datanet}`,
        note: `Datanet ${datanet}, snapshot ${snapshot}`,
        to: links.snapshots(datanet),
      }),
    ),
    { id: "base", kind: "base", role: "Base model", label: base, note: "base model", to: null },
    ...model.parents.map((link) => modelNode("parent", link)),
    { id: "self", kind: "self", role: "This model", label: model.name, note: "this model", to: null },
    ...model.children.map((link) => modelNode("child", link)),
  ];
  return (
    <Card
      title="Lineage"
      intro="What this model was made of, and what was made of it. Fees flow back along these lines."
    >
      <Drawing nodes={nodes} name={model.name} />
      <details className="mt-3 text-sm">
        <summary className="w-fit text-muted hover:text-ink">The same as a list</summary>
        <ul className="mt-2 grid gap-1">
          {nodes.map((node) => (
            <li key={node.id}>
              <span className="text-muted">{node.role}: </span>
              {node.to ? (
                <Link to={node.to} className="link break-all">
                  {node.label}
                </Link>
              ) : (
                <span className="break-all">{node.label}</span>
              )}
              {node.note && node.kind !== "base" && node.kind !== "self" && (
                <span className="text-muted"> ({node.note})</span>
              )}
            </li>
          ))}
        </ul>
      </details>
    </Card>
  );
}

function Drawing({ nodes, name }: { nodes: readonly LineageNode[]; name: string }) {
  const { width, height, nodes: placed, edges } = layOut(nodes);
  const id = useId();
  return (
    <div role="region" aria-label={`Lineage of ${name}`} tabIndex={0} className="overflow-x-auto">
      <svg
        viewBox={`0 0 ${width} ${height}`}
        width={width}
        height={height}
        role="group"
        aria-labelledby={id}
        className="mx-auto block max-w-none"
      >
        <title id={id}>{`Lineage of ${name}, from data at the left to child models at the right`}</title>
        {edges.map((edge) => (
          <path
            key={`${edge.from} ${edge.to}`}
            d={edge.path}
            fill="none"
            className="stroke-line-strong"
            strokeWidth={1.5}
          />
        ))}
        {placed.map((node) => (
          <g key={node.id} transform={`translate(${node.x} ${node.y})`}>
            {node.to ? (
              <Link
                to={node.to}
                aria-label={`${node.role} ${node.label}${node.note ? `, ${node.note}` : ""}`}
              >
                <Box node={node} />
              </Link>
            ) : (
              <Box node={node} />
            )}
          </g>
        ))}
      </svg>
    </div>
  );
}

function Box({ node }: { node: LineageNode }) {
  const own = node.kind === "self";
  return (
    <>
      <title>{node.label}</title>
      <rect
        width={NODE.width}
        height={NODE.height}
        rx={7}
        className={own ? "fill-accent-soft stroke-accent" : "fill-surface stroke-line-strong"}
        strokeWidth={own ? 1.75 : 1}
      />
      <text x={12} y={23} className={node.to ? "fill-accent" : "fill-ink"} fontSize={13.5} fontWeight={600}>
        {shorten(node.label)}
      </text>
      <text x={12} y={41} className="fill-muted" fontSize={11.5}>
        {shorten(node.note ?? node.role, 28)}
      </text>
    </>
  );
}
