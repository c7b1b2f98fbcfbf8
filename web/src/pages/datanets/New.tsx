import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Form } from "react-aria-components";
import { useNavigate } from "react-router";
import { parseEventLogs } from "viem";
import { describeError } from "../../api/error";
import { datanetRegistryAbi } from "../../chain/abis";
import { useChain } from "../../chain/client";
import { Button, LinkButton } from "../../ui/Button";
import { Checkbox, RadioGroup, TextField } from "../../ui/fields";
import { Card, Columns, Page } from "../../ui/Page";
import { ErrorState, Notice } from "../../ui/states";
import { Declined } from "../../wallet/approval";
import { useSend } from "../../wallet/send";
import { useWallet } from "../../wallet/wallet";
import {
  contractTerms,
  FLOOR_BPS_MAX,
  type FormErrors,
  licencePoints,
  readForm,
  type TermsForm,
} from "./licence";
import { LicencePoints } from "./parts";
import { PendingRegistrations, rememberRegistration, useRegister } from "./registration";

const PRESETS = {
  paid: {
    label: "Paid use",
    description:
      "Anyone may train on the records and charge for answers. Contributors are paid from every answer.",
    terms: { commercialUse: true, derivatives: true, attribution: true },
  },
  free: {
    label: "Free use only",
    description: "Anyone may train on the records, but such models must be free. Contributors earn nothing.",
    terms: { commercialUse: false, derivatives: true, attribution: true },
  },
  own: { label: "My own choice", description: "Set every term yourself.", terms: {} },
} as const;
type Preset = keyof typeof PRESETS;
const CHOICES = (Object.keys(PRESETS) as Preset[]).map((value) => ({ value, ...PRESETS[value] }));

const BLANK: TermsForm = {
  name: "",
  commercialUse: true,
  derivatives: true,
  attribution: true,
  floor: "",
  expiry: "",
  uri: "",
};

/** A new Datanet: its name and the licence under which everyone contributes. */
export function New() {
  const [form, setForm] = useState(BLANK);
  const [preset, setPreset] = useState<Preset>("paid");
  const [shown, setShown] = useState(false);
  const { account } = useWallet();
  const create = useCreate();
  const read = readForm(form, Date.now() / 1000);
  const errors: FormErrors = shown && !("terms" in read) ? read : {};
  const set = (change: Partial<TermsForm>) => setForm((before) => ({ ...before, ...change }));
  const pick = (next: Preset) => {
    setPreset(next);
    set(PRESETS[next].terms);
  };
  const submit = () => {
    setShown(true);
    if ("terms" in read) create.mutate(read);
  };
  const half = create.error instanceof NotRegistered;
  const failed = create.error && !half && !(create.error instanceof Declined);
  return (
    <Page
      title="Create a Datanet"
      back={{ to: "/datanets", label: "Datanets" }}
      intro="Give it a name and choose what may be done with its records. Everyone who contributes signs these terms, so they cannot be changed later."
    >
      {!half && <PendingRegistrations />}
      {account === null && <ConnectFirst what="create a Datanet" />}
      <Form
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
        className="grid gap-5"
      >
        <Columns>
          <Card title="Name and licence">
            <div className="grid gap-4">
              <TextField
                label="Name"
                isRequired
                value={form.name}
                onChange={(name) => set({ name })}
                error={errors.name ?? null}
                description="What the records are about, in a few words. Everyone sees it."
                placeholder="Support questions about solar panels"
              />
              <RadioGroup label="Licence" value={preset} onChange={pick} choices={CHOICES} />
              {preset === "own" && <OwnTerms form={form} set={set} />}
              <Details form={form} set={set} errors={errors} />
            </div>
          </Card>
          <Card title="What this means" intro="In plain words, as contributors will read it.">
            {"terms" in read ? <LicencePoints terms={read.terms} /> : <LicencePreview form={form} />}
          </Card>
        </Columns>
        {failed && <ErrorState error={create.error} what="The Datanet was not created" />}
        {half && (
          <>
            <Notice tone="warn">{create.error?.message}</Notice>
            <PendingRegistrations />
          </>
        )}
        {create.error instanceof Declined && (
          <Notice tone="warn">
            You declined, so nothing was created. You can change the terms and try again.
          </Notice>
        )}
        <div className="flex flex-wrap items-center gap-3">
          <Button
            type="submit"
            tone="primary"
            isDisabled={account === null || half}
            isPending={create.isPending}
            pendingLabel="Creating …"
          >
            Create the Datanet
          </Button>
          <p className="text-sm text-muted">One transaction. What it costs is shown before you sign.</p>
        </div>
      </Form>
    </Page>
  );
}

/** The name may still be missing; the terms are shown all the same. */
function LicencePreview({ form }: { form: TermsForm }) {
  const read = readForm({ ...form, name: "-" }, Date.now() / 1000);
  if ("terms" in read) return <LicencePoints terms={read.terms} />;
  return <p className="text-sm text-muted">Correct what is marked, then the terms are shown here.</p>;
}

interface FormPart {
  form: TermsForm;
  set: (change: Partial<TermsForm>) => void;
}

function OwnTerms({ form, set }: FormPart) {
  return (
    <div className="grid gap-3">
      <Checkbox
        isSelected={form.derivatives}
        onChange={(derivatives) => set({ derivatives })}
        description="Without this the registry refuses every model trained on the records."
      >
        Models may be trained on the records
      </Checkbox>
      <Checkbox
        isSelected={form.commercialUse}
        onChange={(commercialUse) => set({ commercialUse })}
        description="Without this such models must have a price of zero."
      >
        Such models may charge for answers
      </Checkbox>
      <Checkbox
        isSelected={form.attribution}
        onChange={(attribution) => set({ attribution })}
        description="Whoever uses the records says whose they are."
      >
        Contributors must be named
      </Checkbox>
    </div>
  );
}

function Details({ form, set, errors }: FormPart & { errors: FormErrors }) {
  return (
    <details open={Boolean(errors.floor ?? errors.expiry ?? errors.uri) || undefined}>
      <summary className="w-fit text-sm font-medium">More terms (optional)</summary>
      <div className="mt-3 grid gap-4">
        <TextField
          label="Least share for contributors"
          value={form.floor}
          onChange={(floor) => set({ floor })}
          unit="%"
          inputMode="decimal"
          placeholder="0"
          error={errors.floor ?? null}
          description={`Part of each answer's fee that must go to the data. Models that give less are refused. At most ${FLOOR_BPS_MAX / 100} %; a high share leaves little for those who build and run the model.`}
        />
        <ExpiryField value={form.expiry} onChange={(expiry) => set({ expiry })} error={errors.expiry} />
        <TextField
          label="Link to the full text"
          value={form.uri}
          onChange={(uri) => set({ uri })}
          type="url"
          placeholder="https://"
          error={errors.uri ?? null}
          description="If a written licence exists, where it can be read."
        />
      </div>
    </details>
  );
}

function ExpiryField(props: { value: string; onChange: (value: string) => void; error: string | undefined }) {
  const { value, onChange, error } = props;
  return (
    <div className="grid gap-1">
      <label htmlFor="licence-expiry" className="text-sm font-medium">
        Last day of the licence
      </label>
      <input
        id="licence-expiry"
        type="date"
        value={value}
        onChange={(event) => onChange(event.target.value)}
        aria-invalid={error !== undefined}
        aria-describedby="licence-expiry-note"
        className="h-9 w-48 max-w-full rounded-md border border-line-strong/70 bg-surface px-2.5 text-sm text-ink aria-invalid:border-danger"
      />
      <p id="licence-expiry-note" className={error ? "text-xs text-danger" : "text-xs text-muted"}>
        {error ?? "Empty: it holds for ever. After this day nobody can contribute or publish a new model."}
      </p>
    </div>
  );
}

/** Says that an account is needed, and where to get one. */
export function ConnectFirst({ what }: { what: string }) {
  return (
    <Notice
      tone="warn"
      title={`Connect an account to ${what}`}
      action={
        <LinkButton to="/account" tone="primary">
          Connect
        </LinkButton>
      }
    >
      It signs for you and receives what you earn. On a development chain an account is one click away.
    </Notice>
  );
}

type Read = Extract<ReturnType<typeof readForm>, { name: string; terms: object }>;

/** The transaction is done; only the node does not know of it. */
class NotRegistered extends Error {
  override name = "NotRegistered";
  constructor(cause: unknown) {
    const { detail } = describeError(cause);
    super(
      `The Datanet is on chain, but the node did not take note of it (${detail}) Press Finish to tell it again.`,
    );
  }
}

/** On chain first; then the node is told the terms whose hash is on chain. */
function useCreate() {
  const send = useSend();
  const register = useRegister();
  const navigate = useNavigate();
  const { contracts } = useChain();
  return useMutation({
    mutationFn: async ({ name, terms }: Read) => {
      const { receipt } = await send({
        title: "Create the Datanet",
        what: `Registers the Datanet “${name}” with you as its owner, and its licence for good.`,
        address: contracts.datanetRegistry,
        abi: datanetRegistryAbi,
        functionName: "createDatanet",
        args: [{ name, terms: contractTerms(terms), acceptancePolicy: "", curators: [] }],
        fields: [
          ["Name", name],
          [
            "Licence",
            <ul key="licence" className="list-disc pl-4">
              {licencePoints(terms).map(({ text }) => (
                <li key={text}>{text}</li>
              ))}
            </ul>,
          ],
        ],
      });
      const [created] = parseEventLogs({
        abi: datanetRegistryAbi,
        eventName: "DatanetCreated",
        logs: receipt.logs.filter(
          (log) => log.address.toLowerCase() === contracts.datanetRegistry.toLowerCase(),
        ),
      });
      if (created === undefined) throw new Error("The transaction is in a block, but names no Datanet.");
      const registration = { id: Number(created.args.datanetId), name, terms };
      rememberRegistration(registration);
      await register(registration).catch((cause: unknown) => {
        throw new NotRegistered(cause);
      });
      await navigate(`/datanets/${registration.id}`);
    },
  });
}
