import {
  type ColumnDef,
  flexRender,
  getCoreRowModel,
  getSortedRowModel,
  type RowData,
  type SortingState,
  useReactTable,
} from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { cx } from "./classes";

declare module "@tanstack/react-table" {
  // The library's parameters must be named as it names them.
  interface ColumnMeta<TData extends RowData, TValue> {
    /** Right-aligned. */
    numeric?: boolean;
    /** Classes of its cells, such as `max-sm:hidden`. */
    className?: string;
    /** Unused; ties the parameters. */
    of?: [TData, TValue];
  }
}

export type Column<Row> = ColumnDef<Row>;

/** From this many rows on, only those in sight are drawn. */
const VIRTUAL_ROWS_MIN = 60;
/** Rows drawn above and below what is in sight. */
const OVERSCAN = 8;

export interface DataTableProps<Row> {
  /** Names the table for screen readers. */
  label: string;
  /** With `id`, `header`, `cell`; with `accessorFn` they can be sorted. */
  columns: Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  /** Called when the end of the rows comes in sight. */
  onEnd?: () => void;
  /** Rows there are in all, where not all are here yet. */
  total?: number;
  /** Height of a row in pixels, as far as it is known before it is drawn. */
  rowHeight?: number;
  /** Most pixels before the table scrolls in itself. */
  maxHeight?: number;
  /** Shown under the rows: "reading more". */
  footer?: ReactNode;
  sortable?: boolean;
}

/** A table that stays fast with a hundred thousand rows. */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const {
    label,
    columns,
    rows,
    rowKey,
    onEnd,
    total,
    rowHeight = 37,
    maxHeight = 620,
    footer,
    sortable = true,
  } = props;
  const [sorting, setSorting] = useState<SortingState>([]);
  const table = useReactTable({
    data: rows as Row[],
    columns,
    getRowId: rowKey,
    state: { sorting },
    onSortingChange: setSorting,
    enableSorting: sortable,
    getCoreRowModel: getCoreRowModel(),
    getSortedRowModel: getSortedRowModel(),
  });
  const scroller = useRef<HTMLDivElement>(null);
  const model = table.getRowModel().rows;
  const virtual = model.length >= VIRTUAL_ROWS_MIN;
  const virtualizer = useVirtualizer({
    count: model.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    getItemKey: (index) => model[index]?.id ?? index,
    overscan: OVERSCAN,
    enabled: virtual,
  });
  const items = virtualizer.getVirtualItems();
  const before = virtual ? (items[0]?.start ?? 0) : 0;
  const after = virtual ? virtualizer.getTotalSize() - (items.at(-1)?.end ?? 0) : 0;
  const indices = virtual ? items.map((item) => item.index) : model.map((_, index) => index);
  const atEnd = (indices.at(-1) ?? -1) >= model.length - 1;
  useEffect(() => {
    if (atEnd && model.length > 0) onEnd?.();
  }, [atEnd, model.length, onEnd]);

  return (
    // A region that scrolls must be reachable by keyboard, and hold what is placed absolutely in it.
    <div
      ref={scroller}
      role="region"
      aria-label={label}
      tabIndex={0}
      className="relative overflow-auto"
      style={{ maxHeight }}
    >
      <table
        className="w-full border-collapse text-sm"
        aria-label={label}
        aria-rowcount={(total ?? model.length) + 1}
      >
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id} aria-rowindex={1}>
              {group.headers.map((header) => {
                const meta = header.column.columnDef.meta;
                const sorted = header.column.getIsSorted();
                const content = flexRender(header.column.columnDef.header, header.getContext());
                return (
                  <th
                    key={header.id}
                    scope="col"
                    aria-sort={sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : undefined}
                    className={cx(
                      "sticky top-0 z-10 border-b border-line bg-surface px-3 py-2 text-xs font-medium whitespace-nowrap text-muted first:pl-5 last:pr-5",
                      meta?.numeric ? "text-right" : "text-left",
                      meta?.className,
                    )}
                  >
                    {header.column.getCanSort() ? (
                      <button
                        type="button"
                        onClick={header.column.getToggleSortingHandler()}
                        className="relative hover:text-ink"
                      >
                        {content}
                        <span
                          aria-hidden="true"
                          className={cx(
                            "absolute top-0 w-3 text-center",
                            meta?.numeric ? "right-full" : "left-full",
                          )}
                        >
                          {sorted === "asc" ? "↑" : sorted === "desc" ? "↓" : ""}
                        </span>
                      </button>
                    ) : (
                      content
                    )}
                  </th>
                );
              })}
            </tr>
          ))}
        </thead>
        <tbody>
          {before > 0 && <Spacer height={before} columns={columns.length} />}
          {indices.map((index) => {
            const row = model[index];
            if (row === undefined) return null;
            return (
              <tr
                key={row.id}
                data-index={index}
                ref={virtual ? virtualizer.measureElement : undefined}
                aria-rowindex={index + 2}
                className="border-b border-line last:border-b-0 hover:bg-sunken/60"
              >
                {row.getVisibleCells().map((cell) => {
                  const meta = cell.column.columnDef.meta;
                  return (
                    <td
                      key={cell.id}
                      className={cx(
                        "px-3 py-1.5 align-top first:pl-5 last:pr-5",
                        meta?.numeric && "text-right",
                        meta?.className,
                      )}
                    >
                      {flexRender(cell.column.columnDef.cell, cell.getContext())}
                    </td>
                  );
                })}
              </tr>
            );
          })}
          {after > 0 && <Spacer height={after} columns={columns.length} />}
        </tbody>
      </table>
      {footer && <div className="px-5 py-2 text-sm text-muted">{footer}</div>}
    </div>
  );
}

function Spacer({ height, columns }: { height: number; columns: number }) {
  return (
    <tr aria-hidden="true">
      <td colSpan={columns} className="p-0" style={{ height }} />
    </tr>
  );
}
