import { keepPreviousData, queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, body } from "../../../api/client";
import { ApiError } from "../../../api/error";
import { keys } from "../../../api/keys";
import { count, formatInteger, formatPercent } from "../../../lib/format";
import { Button } from "../../../ui/Button";
import { Select } from "../../../ui/fields";
import { ErrorState, Loading, Notice } from "../../../ui/states";
import { type Column, DataTable } from "../../../ui/Table";
import { Stat, StatRow } from "../../../ui/values";
import { excerpt, recordParts } from "../bodies";
import type { DatanetDetail, FileFormat, Preview } from "../queries";
import { FORMATS, hasColumns } from "./files";
import { MappingForm } from "./MappingForm";
import { type Contribution, changeContribution, keptReport } from "./stored";

/** Time for which a preview holds: earlier records may have come meanwhile. */
const FRESH_MS = 30_000;
/** Records shown before "more" is pressed, and characters of each. */
const SAMPLE_SHOWN = 5;
const SAMPLE_CHARACTERS = 400;
const FORMAT_CHOICES = (Object.keys(FORMATS) as FileFormat[]).map((value) => ({
  value,
  label: FORMATS[value].label,
}));

const previewQuery = ({ upload, datanet, format, mapping }: Contribution) =>
  queryOptions({
    queryKey: ["uploads", upload, "preview", format, mapping],
    queryFn: async ({ signal }) => {
      const answer = await body(
        api.POST("/v1/datanets/{id}/batches", {
          params: { path: { id: datanet } },
          body: { upload, format, mapping, preview: true },
          signal,
        }),
      );
      return answer.preview;
    },
    enabled: format !== null,
    staleTime: FRESH_MS,
    placeholderData: keepPreviousData,
  });

/** What would become of the file, before anything is signed. */
export function PreviewPart({
  contribution,
  datanet,
}: {
  contribution: Contribution;
  datanet: DatanetDetail;
}) {
  const { upload, format } = contribution;
  const query = useQuery(previewQuery(contribution));
  const preview = query.data;
  return (
    <div className="grid gap-5">
      <Select
        label="Format"
        value={format}
        onChange={(next) => changeContribution(upload, { format: next, mapping: null })}
        choices={FORMAT_CHOICES}
        placeholder="Choose the format"
        error={format === null ? "The file's name does not say which format it has." : null}
        className="max-w-sm"
      />
      {hasColumns(format) && (
        <MappingForm
          columns={preview && preview.columns.length > 0 ? preview.columns : contribution.columns}
          used={query.isError ? null : (preview?.mapping ?? null)}
          mapping={contribution.mapping}
          onChange={(mapping) => changeContribution(upload, { mapping })}
        />
      )}
      <div aria-live="polite" className="grid gap-5">
        {query.isFetching && <Loading label="Looking through the file …" className="py-1" />}
        {query.error && <Unusable error={query.error} retry={() => void query.refetch()} />}
        {preview && !query.isError && <PreviewReport preview={preview} format={format} />}
      </div>
      {preview && !query.isError && (
        <Begin
          contribution={contribution}
          datanet={datanet}
          preview={preview}
          stale={query.isPlaceholderData}
        />
      )}
    </div>
  );
}

function Unusable({ error, retry }: { error: Error; retry: () => void }) {
  const unusable = error instanceof ApiError && error.code === "unusable_file";
  return (
    <div className="grid gap-2">
      <ErrorState
        error={error}
        retry={retry}
        what={unusable ? "The file cannot be used like this" : "Preview"}
      />
      {unusable && (
        <p className="text-sm text-muted">
          Choose above which columns to use, or another format. If the file itself is wrong, correct it and
          drop it again.
        </p>
      )}
    </div>
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function PreviewReport({ preview, format }: { preview: Preview; format: FileFormat | null }) {
  const { report, duplicates, sample } = preview;
  return (
    <>
      <StatRow>
        <Stat label={capital(`${FORMATS[format ?? "csv"].rows}s read`)}>{formatInteger(report.rows)}</Stat>
        <Stat label="Become records">{formatInteger(report.accepted)}</Stat>
        <Stat label="Cannot be used">{formatInteger(report.rejected)}</Stat>
        <Stat label="Likely copies" note="would not be accepted">
          {formatInteger(duplicates.length)}
        </Stat>
      </StatRow>
      <Sample sample={sample} />
      {report.rejected > 0 && <Rejections report={report} />}
      {duplicates.length > 0 && <Duplicates duplicates={duplicates} />}
    </>
  );
}

function Sample({ sample }: { sample: Preview["sample"] }) {
  if (sample.length === 0) return null;
  const one = (record: Preview["sample"][number], index: number) => (
    <li key={index} className="rounded-md border border-line px-3 py-2 text-sm">
      {recordParts(record).map(({ label, text }, part) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other name
        <p key={part} className="break-words">
          <span className="text-xs text-muted">{label}:</span> {excerpt(text, SAMPLE_CHARACTERS)}
        </p>
      ))}
    </li>
  );
  const rest = sample.slice(SAMPLE_SHOWN);
  return (
    <section aria-label="First records">
      <h3 className="mb-1.5 text-sm font-medium">The first records, as a model will see them</h3>
      <ol className="grid gap-1.5">{sample.slice(0, SAMPLE_SHOWN).map(one)}</ol>
      {rest.length > 0 && (
        <details className="mt-1.5 text-sm">
          <summary className="w-fit text-muted hover:text-ink">{rest.length} more</summary>
          <ol start={SAMPLE_SHOWN + 1} className="mt-1.5 grid gap-1.5">
            {rest.map((record, index) => one(record, index + SAMPLE_SHOWN))}
          </ol>
        </details>
      )}
    </section>
  );
}

type Rejection = Preview["report"]["rejections"][number];

const REJECTION_COLUMNS: Column<Rejection>[] = [
  { id: "row", header: "Row", meta: { numeric: true }, cell: ({ row }) => formatInteger(row.original.row) },
  {
    id: "column",
    header: "Column",
    cell: ({ row }) => <span className="break-all">{row.original.column ?? "—"}</span>,
  },
  { id: "reason", header: "What is wrong", cell: ({ row }) => row.original.reason },
];

/** Rows that do not become records, each with its place and its reason. */
export function Rejections({ report }: { report: Preview["report"] }) {
  const hidden = report.rejected - report.rejections.length;
  return (
    <section aria-label="Rows that cannot be used">
      <h3 className="text-sm font-medium">Rows that cannot be used</h3>
      <p className="mb-1 text-sm text-muted">
        They are left out. To have them in, correct the file and drop it again.
      </p>
      <div className="-mx-4 sm:-mx-5">
        <DataTable
          label="Rows that cannot be used"
          columns={REJECTION_COLUMNS}
          rows={report.rejections}
          rowKey={(row) => `${row.row} ${row.column ?? ""} ${row.code}`}
          maxHeight={280}
          sortable={false}
          footer={hidden > 0 && `${count(hidden, "more row")} of this kind, not listed.`}
        />
      </div>
    </section>
  );
}

type Copy = Preview["duplicates"][number];

const COPY_COLUMNS: Column<Copy>[] = [
  { id: "row", header: "Row", meta: { numeric: true }, cell: ({ row }) => formatInteger(row.original.row) },
  {
    id: "of",
    header: "Says the same as",
    cell: ({ row: { original } }) =>
      original.of_row === null
        ? "a record that is here already"
        : `row ${formatInteger(original.of_row ?? 0)} of this file`,
  },
  {
    id: "alike",
    header: "Alike",
    meta: { numeric: true },
    cell: ({ row }) => formatPercent(row.original.similarity_per_mille / 1000, 1),
  },
];

function Duplicates({ duplicates }: { duplicates: readonly Copy[] }) {
  return (
    <section aria-label="Likely copies">
      <h3 className="text-sm font-medium">Likely copies</h3>
      <p className="mb-1 text-sm text-muted">
        They are sent with the rest, but most likely not accepted: whoever came first with a record keeps it.
      </p>
      <div className="-mx-4 sm:-mx-5">
        <DataTable
          label="Likely copies"
          columns={COPY_COLUMNS}
          rows={duplicates}
          rowKey={(row) => String(row.row)}
          maxHeight={280}
          sortable={false}
        />
      </div>
    </section>
  );
}

interface BeginProps {
  contribution: Contribution;
  datanet: DatanetDetail;
  preview: Preview;
  /** True while the preview shown is that of the mapping before. */
  stale: boolean;
}

/** Makes the batch; from here on the steps follow. */
function Begin({ contribution, datanet, preview, stale }: BeginProps) {
  const cache = useQueryClient();
  const { report, duplicates } = preview;
  const fresh = Math.max(0, report.accepted - duplicates.length);
  const prepare = useMutation({
    mutationFn: async () => {
      const { upload, format, mapping } = contribution;
      const made = await body(
        api.POST("/v1/datanets/{id}/batches", {
          params: { path: { id: datanet.id } },
          body: { upload, format, mapping },
        }),
      );
      if (made.batch === undefined) throw new TypeError("The node prepared no batch.");
      changeContribution(upload, { batch: made.batch, file: keptReport(made.preview.report) });
      await cache.invalidateQueries({ queryKey: [...keys.datanets, datanet.id] });
    },
  });
  return (
    <div className="grid gap-3">
      {fresh === 0 && (
        <Notice tone="warn" title="Nothing in this file looks new">
          Contributing it would cost two transactions and most likely bring nothing.
        </Notice>
      )}
      {prepare.error && <ErrorState error={prepare.error} what="The batch was not prepared" />}
      <div className="flex flex-wrap items-center gap-3">
        <Button
          tone={fresh === 0 ? "secondary" : "primary"}
          isDisabled={stale || report.accepted === 0}
          isPending={prepare.isPending}
          pendingLabel="Preparing the batch …"
          onPress={() => prepare.mutate()}
        >
          Use {count(report.accepted, "record")}
        </Button>
        <p className="text-sm text-muted">Nothing is signed yet: the steps are shown first.</p>
      </div>
    </div>
  );
}
