import { Link } from "react-router";
import { count, formatInteger, formatPercent } from "../../../lib/format";
import { LinkButton } from "../../../ui/Button";
import { Notice } from "../../../ui/states";
import { type Column, DataTable } from "../../../ui/Table";
import { AccountName, Stat, StatRow } from "../../../ui/values";
import { links } from "../links";
import type { AcceptReport } from "../queries";
import { Rejections } from "./PreviewPart";
import type { Contribution } from "./stored";

/** What became of a contribution, and what comes next. */
export function Result({
  contribution,
  result,
  owned,
}: {
  contribution: Contribution;
  result: AcceptReport;
  /** Whether the contributor owns the Datanet. */
  owned: boolean;
}) {
  const { datanet, contributor, file } = contribution;
  const { accepted, duplicates } = result;
  const left = file?.rejected ?? 0;
  return (
    <div className="grid gap-5">
      <Notice
        tone={accepted > 0 ? "info" : "warn"}
        title={accepted > 0 ? `${count(accepted, "record")} accepted` : "No record was accepted"}
      >
        {accepted > 0
          ? `They stand under your account. They earn once ${owned ? "you take" : "the Datanet's owner takes"} a snapshot, someone trains a model on it, and its answers are paid.`
          : "Earlier records say the same as all of yours. Records that say something new are accepted."}
      </Notice>
      <StatRow>
        <Stat label="Accepted">{formatInteger(accepted)}</Stat>
        <Stat label="Refused as copies">{formatInteger(duplicates.length)}</Stat>
        <Stat label="Rows left out">{formatInteger(left)}</Stat>
      </StatRow>
      {duplicates.length > 0 && <Copies datanet={datanet} duplicates={duplicates} you={contributor} />}
      {file !== null && left > 0 && <Rejections report={file} />}
      <div>
        <h3 className="text-sm font-medium">What next</h3>
        <div className="mt-2 flex flex-wrap gap-2">
          {owned && accepted > 0 && (
            <LinkButton to={`/datanets/${datanet}/snapshots`} tone="primary">
              Take a snapshot
            </LinkButton>
          )}
          <LinkButton
            to={`/datanets/${datanet}?contributor=${contributor}`}
            tone={owned && accepted > 0 ? "secondary" : "primary"}
          >
            See your records
          </LinkButton>
          <LinkButton to={links.earnings}>Your earnings</LinkButton>
        </div>
        <p className="mt-2 text-sm text-muted">Or drop another file above.</p>
      </div>
    </div>
  );
}

type Copy = AcceptReport["duplicates"][number];

function Copies({ datanet, duplicates, you }: { datanet: number; duplicates: readonly Copy[]; you: string }) {
  const record = (hash: string, text: string) => (
    <Link to={`/datanets/${datanet}/records/${hash}`} className="link">
      {text}
    </Link>
  );
  const columns: Column<Copy>[] = [
    {
      id: "record",
      header: "Record",
      cell: ({ row }) => record(row.original.record, `No. ${formatInteger(row.original.position + 1)}`),
    },
    {
      id: "of",
      header: "Says the same as",
      cell: ({ row: { original } }) => (
        <span className="flex flex-wrap items-center gap-x-2">
          {record(original.of, "this record")} by{" "}
          <AccountName value={original.of_contributor} you={you} copy={false} />
        </span>
      ),
    },
    {
      id: "alike",
      header: "Alike",
      meta: { numeric: true },
      cell: ({ row }) => formatPercent(row.original.similarity_per_mille / 1000, 1),
    },
  ];
  return (
    <section aria-label="Refused as copies">
      <h3 className="text-sm font-medium">Refused as copies</h3>
      <p className="mb-1 text-sm text-muted">
        An earlier record says the same, so these do not train and do not earn.
      </p>
      <div className="-mx-4 sm:-mx-5">
        <DataTable
          label="Refused as copies"
          columns={columns}
          rows={duplicates}
          rowKey={(row) => row.record}
          maxHeight={280}
          sortable={false}
        />
      </div>
    </section>
  );
}
