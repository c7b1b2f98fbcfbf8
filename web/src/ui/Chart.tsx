import { useEffect, useId, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { cx } from "./classes";

export interface Series {
  label: string;
  /** As many as there are x values; null where nothing was measured. */
  values: readonly (number | null)[];
  tone?: "accent" | "second" | "muted" | "warn";
  kind?: "line" | "points" | "bars";
  dashed?: boolean;
}

export interface ChartProps {
  /** Names the chart, also for screen readers. */
  title: string;
  x: { label: string; values: readonly number[]; format?: (value: number) => string };
  /** `ticks` writes the axis where `format`, which writes the numbers, would be too long for it. */
  y?: { format?: (value: number) => string; ticks?: (value: number) => string; log?: boolean };
  series: readonly Series[];
  height?: number;
  className?: string;
}

/** Rows of the table of numbers; of longer series every nth point is shown, and the last. */
const NUMBERS_MAX = 200;
/** Steps, epochs and seconds are whole: no line of the grid stands between two of them. */
const X_STEPS = Array.from({ length: 10 }, (_, power) =>
  [1, 2, 5].map((digit) => digit * 10 ** power),
).flat();
const plain = (value: number) => String(Math.round(value * 1e6) / 1e6);

function colour(name: string): string {
  // Canvas takes no light-dark(); the browser computes what it means right now.
  const probe = document.createElement("span");
  probe.style.color = `var(--color-${name})`;
  document.body.append(probe);
  const computed = getComputedStyle(probe).color;
  probe.remove();
  return computed;
}

function options({ x, y, series, height = 240 }: ChartProps, width: number): uPlot.Options {
  const axis = {
    stroke: colour("muted"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1, size: 4 },
    font: "12px system-ui, sans-serif",
  };
  const format = (write: (value: number) => string) => (_: uPlot, values: number[]) =>
    values.map((value) => (value === null ? "" : write(value)));
  return {
    width,
    height,
    scales: { x: { time: false }, y: y?.log ? { distr: 3 } : {} },
    cursor: { drag: { x: true, y: false }, points: { size: 6 } },
    legend: { live: true },
    axes: [
      {
        ...axis,
        incrs: X_STEPS,
        label: x.label,
        labelSize: 18,
        labelFont: axis.font,
        values: format(x.format ?? plain),
      },
      { ...axis, size: 64, values: format(y?.ticks ?? y?.format ?? plain) },
    ],
    series: [
      { label: x.label, value: (_, value) => (value === null ? "" : (x.format ?? plain)(value)) },
      ...series.map((one): uPlot.Series => {
        const stroke = colour(one.tone ?? "accent");
        const bars = one.kind === "bars" ? { paths: uPlot.paths.bars?.({ size: [0.9] }), fill: stroke } : {};
        return {
          label: one.label,
          stroke,
          width: one.kind === "points" ? 0 : 1.75,
          points: { show: one.kind === "points" || one.values.length < 3, size: 5, fill: stroke },
          spanGaps: true,
          value: (_, value) => (value === null ? "" : (y?.format ?? plain)(value)),
          ...(one.dashed ? { dash: [5, 4] } : {}),
          ...bars,
        };
      }),
    ],
  };
}

const columns = ({ x, series }: ChartProps): uPlot.AlignedData => [
  [...x.values],
  ...series.map((one) => [...one.values]),
];

/** Lines, points or bars over a number, with the numbers themselves folded below. */
export function Chart(props: ChartProps) {
  const { title, x, series, className } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  const id = useId();
  const shape = JSON.stringify([
    series.map((one) => [one.label, one.tone, one.kind, one.dashed]),
    x.label,
    props.y?.log,
    props.height,
  ]);

  useEffect(() => {
    latest.current = props;
    plot.current?.setData(columns(props));
  });

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for what needs a new drawing
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(
        options(latest.current, element.clientWidth),
        columns(latest.current),
        element,
      );
    };
    draw();
    const sizes = new ResizeObserver(() => {
      const { height = 240 } = latest.current;
      plot.current?.setSize({ width: element.clientWidth, height });
    });
    sizes.observe(element);
    const themes = new MutationObserver(draw);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    return () => {
      sizes.disconnect();
      themes.disconnect();
      dark.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  return (
    <figure className={cx("min-w-0", className)} aria-labelledby={id}>
      <figcaption id={id} className="mb-1 text-sm font-medium">
        {title}
      </figcaption>
      <div ref={place} aria-hidden="true" className="w-full text-xs" />
      <Numbers {...props} />
    </figure>
  );
}

function Numbers({ title, x, y, series }: ChartProps) {
  const step = Math.max(1, Math.ceil(x.values.length / NUMBERS_MAX));
  const last = x.values.length - 1;
  const shown = x.values.map((_, index) => index).filter((index) => index % step === 0 || index === last);
  const write = (value: number | null | undefined) =>
    value === null || value === undefined ? "—" : (y?.format ?? plain)(value);
  return (
    <details className="mt-1 text-sm">
      <summary className="w-fit text-muted hover:text-ink">
        Numbers{step > 1 ? ` (every ${step}th of ${x.values.length})` : ""}
      </summary>
      <div
        role="region"
        aria-label={`Numbers of ${title}`}
        tabIndex={0}
        className="relative mt-1 max-h-64 overflow-auto"
      >
        <table className="w-full text-right">
          <caption className="sr-only">{title}</caption>
          <thead>
            <tr>
              {[x.label, ...series.map((one) => one.label)].map((name) => (
                <th
                  key={name}
                  scope="col"
                  className="sticky top-0 bg-surface px-2 py-1 text-xs font-medium text-muted"
                >
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((index) => (
              <tr key={index} className="border-t border-line">
                <td className="px-2 py-0.5">{(x.format ?? plain)(x.values[index] ?? 0)}</td>
                {series.map((one) => (
                  <td key={one.label} className="px-2 py-0.5">
                    {write(one.values[index])}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
