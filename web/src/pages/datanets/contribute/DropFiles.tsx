import { useState } from "react";
import { DropZone, type FileDropItem, FileTrigger, Text } from "react-aria-components";
import { useChain } from "../../../chain/client";
import { formatBytes } from "../../../lib/format";
import { Button } from "../../../ui/Button";
import { ENDINGS, FILE_BYTES_MAX, FORMATS } from "./files";
import { addFiles } from "./transfers";

/** Files taken at once; more come with the next drop. */
const FILES_MAX = 50;

/** Where files are dropped, pasted or chosen. */
export function DropFiles({ datanet, contributor }: { datanet: number; contributor: string }) {
  const { chain } = useChain();
  const [note, setNote] = useState("");
  const add = (files: readonly File[]) => {
    const taken = files.slice(0, FILES_MAX);
    const left = files.length - taken.length;
    setNote(left > 0 ? `${FILES_MAX} files are taken at once; drop the other ${left} again.` : "");
    addFiles({ chain: chain.id, datanet, contributor }, taken);
  };
  return (
    <div className="grid gap-2">
      <DropZone
        aria-label="Drop files here"
        getDropOperation={() => "copy"}
        onDrop={({ items }) => {
          const files = items.filter((item): item is FileDropItem => item.kind === "file");
          Promise.all(files.map((item) => item.getFile())).then(add, () =>
            setNote("What you dropped cannot be read. Choose the files instead."),
          );
        }}
        className="grid justify-items-center gap-3 rounded-md border-2 border-dashed border-line-strong/60 px-4 py-8 text-center data-[drop-target]:border-accent data-[drop-target]:bg-accent-soft data-[focus-visible]:outline-2 data-[focus-visible]:outline-accent"
      >
        <Text slot="label" className="font-medium">
          Drop files here, or
        </Text>
        <FileTrigger
          allowsMultiple
          acceptedFileTypes={[...ENDINGS]}
          onSelect={(list) => add([...(list ?? [])])}
        >
          <Button tone="primary">Choose files</Button>
        </FileTrigger>
        <p className="text-xs text-muted">
          {Object.values(FORMATS)
            .map(({ label }) => label)
            .join(" · ")}
          . At most {formatBytes(FILE_BYTES_MAX)} each.
        </p>
      </DropZone>
      <Examples />
      <p role="status" className="text-sm text-warn empty:hidden">
        {note}
      </p>
    </div>
  );
}

const EXAMPLES: readonly [string, string][] = [
  ["birds.jsonl", '{"prompt": "What do kingfishers eat?", "response": "Mostly minnows and sticklebacks."}'],
  ["birds.csv", 'prompt,response\n"What do kingfishers eat?","Mostly minnows and sticklebacks."'],
  ["birds.txt", "Kingfishers eat mostly minnows.\n\nA paragraph is a record; an empty line ends it."],
];

/** What a file can look like, for those who make their first one. */
function Examples() {
  return (
    <details className="text-sm">
      <summary className="w-fit text-muted hover:text-ink">What a file looks like</summary>
      <dl className="mt-2 grid gap-2">
        {EXAMPLES.map(([name, text]) => (
          <div key={name}>
            <dt className="text-xs text-muted">{name}</dt>
            <dd className="rounded-md bg-sunken px-3 py-1.5 font-mono text-xs break-words whitespace-pre-wrap">
              {text}
            </dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
