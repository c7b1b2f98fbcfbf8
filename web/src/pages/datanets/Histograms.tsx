import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ToggleButton, ToggleButtonGroup } from "react-aria-components";
import { count, formatInteger, shortHex } from "../../lib/format";
import { Button } from "../../ui/Button";
import { cx } from "../../ui/classes";
import { Card } from "../../ui/Page";
import { QueryView } from "../../ui/states";
import { chosenValue, columnFilter, columnTitle, type RecordFilter, rangeValue } from "./filters";
import { type Column, columnsQuery } from "./queries";

/** Values of a category that are shown before it is unfolded. */
const VALUES_SHOWN = 6;

interface Chosen {
  filter: RecordFilter;
  setFilter: (filter: RecordFilter) => void;
}

/** How the records' fields are distributed; what is pressed filters the records. */
export function Histograms({ id, filter, setFilter }: Chosen & { id: number }) {
  const query = useQuery(columnsQuery(id));
  return (
    <Card title="What the records are like" intro="Press a bar or a value to see only the records it counts.">
      <QueryView query={query} loading="Counting the columns" what="Columns">
        {({ data, records, records_total }) => (
          <>
            {records < records_total && (
              <p className="mb-3 text-sm text-muted">
                Counted over {formatInteger(records)} records of revealed batches;{" "}
                {formatInteger(records_total)} were offered.
              </p>
            )}
            <div className="grid gap-x-8 gap-y-6 [grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr))]">
              {data.filter(worthShowing).map((column) => (
                <Histogram key={column.name} column={column} filter={filter} setFilter={setFilter} />
              ))}
            </div>
          </>
        )}
      </QueryView>
    </Card>
  );
}

/** Free text has no distribution that anyone could read. */
const worthShowing = ({ bins, values }: Column) => bins.length > 0 || values.length > 0;

function Histogram({ column, filter, setFilter }: Chosen & { column: Column }) {
  const asked = chosenValue(filter, column.name);
  // Addresses are written with and without capitals.
  const listed = column.values.find(({ value }) => value.toLowerCase() === asked?.toLowerCase());
  const chosen = listed?.value ?? asked;
  const choose = (value: string | null) => setFilter(columnFilter(filter, column.name, value));
  const title = columnTitle(column.name);
  return (
    <div className="min-w-0">
      <div className="mb-1.5 flex min-h-6 items-baseline justify-between gap-2">
        <h3 className="text-sm font-medium">{title}</h3>
        {chosen !== null && (
          <Button
            tone="ghost"
            size="sm"
            onPress={() => choose(null)}
            aria-label={`Clear the filter on ${title}`}
          >
            Clear
          </Button>
        )}
      </div>
      <ToggleButtonGroup
        aria-label={title}
        orientation={column.kind === "number" ? "horizontal" : "vertical"}
        selectionMode="single"
        selectedKeys={chosen === null ? [] : [chosen]}
        onSelectionChange={(keys) => choose(([...keys][0] as string | undefined) ?? null)}
      >
        {column.kind === "number" ? <Bins column={column} /> : <Values column={column} chosen={chosen} />}
      </ToggleButtonGroup>
      {column.kind === "number" && <Numbers column={column} title={title} />}
    </div>
  );
}

const rangeText = ({ from, to }: { from: number; to: number }) =>
  from === to ? formatInteger(from) : `${formatInteger(from)} to ${formatInteger(to)}`;

function Bins({ column: { bins } }: { column: Column }) {
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  return (
    <>
      <div className="flex h-20 items-end gap-px">
        {bins.map((bin) => (
          <ToggleButton
            key={bin.from}
            id={rangeValue(bin)}
            isDisabled={bin.count === 0}
            aria-label={`${rangeText(bin)}: ${count(bin.count, "record")}`}
            className="group flex h-full min-w-1 flex-1 cursor-pointer items-end outline-offset-2 disabled:cursor-default"
          >
            <span
              className="w-full rounded-t-xs bg-accent/55 group-data-[hovered]:bg-accent group-data-[selected]:bg-accent-strong"
              style={{ height: bin.count === 0 ? 0 : `max(2px, ${(bin.count / most) * 100}%)` }}
            />
          </ToggleButton>
        ))}
      </div>
      <div className="num flex justify-between border-t border-line pt-0.5 text-xs text-muted">
        <span>{formatInteger(bins[0]?.from ?? 0)}</span>
        <span>{formatInteger(bins.at(-1)?.to ?? 0)}</span>
      </div>
    </>
  );
}

function Numbers({ column: { bins }, title }: { column: Column; title: string }) {
  return (
    <details className="mt-0.5 text-xs">
      <summary className="w-fit text-muted hover:text-ink">Numbers</summary>
      <table className="num mt-1 w-full">
        <caption className="sr-only">{title}</caption>
        <thead className="text-muted">
          <tr>
            <th scope="col" className="text-left font-medium">
              From – to
            </th>
            <th scope="col" className="text-right font-medium">
              Records
            </th>
          </tr>
        </thead>
        <tbody>
          {bins.map((bin) => (
            <tr key={bin.from} className="border-t border-line">
              <td>{rangeText(bin)}</td>
              <td className="text-right">{formatInteger(bin.count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function Values({ column, chosen }: { column: Column; chosen: string | null }) {
  const [all, setAll] = useState(false);
  const { values, distinct, name } = column;
  const most = Math.max(1, ...values.map((one) => one.count));
  const shown = values.filter((one, index) => all || index < VALUES_SHOWN || one.value === chosen);
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-0.5">
      {shown.map(({ value, count: number }) => (
        <ToggleButton
          key={value}
          id={value}
          aria-label={`${value}: ${count(number, "record")}`}
          className={cx(
            "relative flex cursor-pointer justify-between gap-3 rounded px-1.5 py-0.5 text-left text-sm",
            "data-[hovered]:bg-sunken data-[selected]:outline-1 data-[selected]:outline-accent",
          )}
        >
          <span
            aria-hidden="true"
            className="absolute inset-y-0 left-0 rounded bg-accent-soft"
            style={{ width: `${(number / most) * 100}%` }}
          />
          <span className={cx("relative truncate", name === "contributor" && "font-mono text-xs/5")}>
            {name === "contributor" ? shortHex(value) : value || "(empty)"}
          </span>
          <span className="num relative text-muted">{formatInteger(number)}</span>
        </ToggleButton>
      ))}
      {(values.length > VALUES_SHOWN || distinct > values.length) && (
        <div className="flex flex-wrap items-center gap-x-2 pt-0.5 text-xs text-muted">
          {values.length > VALUES_SHOWN && (
            <Button tone="ghost" size="sm" onPress={() => setAll(!all)}>
              {all ? "Show fewer" : `Show ${values.length - VALUES_SHOWN} more`}
            </Button>
          )}
          {distinct > values.length && <span>{formatInteger(distinct)} different values in all</span>}
        </div>
      )}
    </div>
  );
}
