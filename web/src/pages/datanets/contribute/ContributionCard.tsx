import { useMutation } from "@tanstack/react-query";
import { api } from "../../../api/client";
import { ApiError } from "../../../api/error";
import { formatBytes } from "../../../lib/format";
import { Button } from "../../../ui/Button";
import { useConfirm } from "../../../ui/Dialog";
import { Card } from "../../../ui/Page";
import { ErrorState, Notice } from "../../../ui/states";
import { Badge } from "../../../ui/values";
import { type DatanetDetail, sameAccount } from "../queries";
import { PreviewPart } from "./PreviewPart";
import { Result } from "./Result";
import { Steps } from "./Steps";
import { type Contribution, dropContribution } from "./stored";
import { dropTransfer, useTransfers } from "./transfers";

/** One file's way: seen through, signed, accepted. */
export function ContributionCard({
  contribution,
  datanet,
}: {
  contribution: Contribution;
  datanet: DatanetDetail;
}) {
  const { fileName, bytes, uploaded, batch, result } = contribution;
  const state = result
    ? "accepted"
    : batch
      ? "being contributed"
      : uploaded
        ? "to look through"
        : "not all there";
  return (
    <Card
      title={<span className="break-all">{fileName}</span>}
      intro={
        <span className="flex flex-wrap items-center gap-2">
          {bytes > 0 && formatBytes(bytes)}{" "}
          <Badge tone={result ? "accent" : uploaded ? "plain" : "warn"}>{state}</Badge>
        </span>
      }
      actions={<Forget contribution={contribution} />}
    >
      {result ? (
        <Result
          contribution={contribution}
          result={result}
          owned={sameAccount(datanet.owner, contribution.contributor)}
        />
      ) : batch ? (
        <Steps contribution={contribution} datanet={datanet} />
      ) : uploaded ? (
        <PreviewPart contribution={contribution} datanet={datanet} />
      ) : (
        <Interrupted contribution={contribution} />
      )}
    </Card>
  );
}

/** After a reload the browser no longer has the file: the node keeps what it got. */
function Interrupted({ contribution: { upload, sent, bytes, fileName } }: { contribution: Contribution }) {
  const underWay = useTransfers().some((one) => one.upload === upload && one.phase !== "failed");
  if (underWay) return <p className="text-sm text-muted">It is being sent; see above.</p>;
  return (
    <Notice tone="warn" title={`Sending stopped at ${formatBytes(sent)} of ${formatBytes(bytes)}`}>
      Choose {fileName} again above: it goes on from there, and nothing is sent twice.
    </Notice>
  );
}

/** Takes the file off this page; what is on chain stays there. */
function Forget({ contribution }: { contribution: Contribution }) {
  const { upload, fileName, batch, result } = contribution;
  const confirm = useConfirm();
  const transfers = useTransfers();
  const forget = useMutation({
    mutationFn: async () => {
      const safe = result !== null || (batch === null && !contribution.uploaded);
      const sure =
        safe ||
        (await confirm({
          title: `Remove ${fileName}?`,
          children:
            batch === null
              ? "The file is deleted at the node. You can choose it again any time."
              : "This browser forgets the batch. If it was committed but not revealed, its place in the order is lost.",
          confirm: "Remove",
          danger: true,
        }));
      if (!sure) return;
      for (const one of transfers) if (one.upload === upload) dropTransfer(one.key);
      if (batch === null) await abort(upload);
      dropContribution(upload);
    },
  });
  return (
    <div className="grid justify-items-end gap-2">
      <Button
        size="sm"
        tone="ghost"
        isPending={forget.isPending}
        pendingLabel="Removing …"
        onPress={() => forget.mutate()}
      >
        {result ? "Hide" : "Remove"}
      </Button>
      {forget.error && <ErrorState error={forget.error} />}
    </div>
  );
}

/** Deletes an upload at the node; one that is gone already is as good. */
async function abort(upload: string) {
  try {
    await api.DELETE("/v1/uploads/{id}", { params: { path: { id: upload } } });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 404) throw error;
  }
}
