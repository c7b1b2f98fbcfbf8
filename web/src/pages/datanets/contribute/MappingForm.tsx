import { useState } from "react";
import { Select, TextField } from "../../../ui/fields";
import type { Mapping } from "../queries";
import { MAPPINGS, type MappingKind, mappingKind, mappingOf } from "./files";

const AUTO = "auto";
type Choice = MappingKind | typeof AUTO;

const KINDS = (Object.keys(MAPPINGS) as MappingKind[]).map((value) => ({
  value: value as Choice,
  label: MAPPINGS[value].label,
  description: MAPPINGS[value].description,
}));
const AUTOMATIC = {
  value: AUTO as Choice,
  label: "By the columns' names",
  description: "prompt, response, text, messages …",
};

const columnsIn = (mapping: Mapping | null): Record<string, string> =>
  mapping === null
    ? {}
    : Object.fromEntries(Object.entries(mapping).map(([role, column]) => [role, String(column)]));

export interface MappingFormProps {
  /** Columns of the file; empty where they could not be read. */
  columns: readonly string[];
  /** What the node used; null while it could use nothing. */
  used: Mapping | null;
  /** What was chosen; null to recognise customary names. */
  mapping: Mapping | null;
  onChange: (mapping: Mapping | null) => void;
}

/** Which columns records are made of. What is chosen is tried at once. */
export function MappingForm({ columns, used, mapping, onChange }: MappingFormProps) {
  const [kind, setKind] = useState<Choice>(mapping === null ? AUTO : mappingKind(mapping));
  const [chosen, setChosen] = useState(() => columnsIn(mapping));
  const pickKind = (next: Choice) => {
    setKind(next);
    if (next === AUTO) return onChange(null);
    const start = used !== null && mappingKind(used) === next ? { ...columnsIn(used), ...chosen } : chosen;
    setChosen(start);
    const whole = mappingOf(next, start);
    if (whole !== null) onChange(whole);
  };
  const pickColumn = (role: string, column: string) => {
    const next = { ...chosen, [role]: column };
    setChosen(next);
    const whole = kind === AUTO ? null : mappingOf(kind, next);
    if (whole !== null) onChange(whole);
  };
  const roles = kind === AUTO ? [] : MAPPINGS[kind].roles;
  const incomplete = kind !== AUTO && mappingOf(kind, chosen) === null;
  return (
    <fieldset className="grid gap-3">
      <legend className="mb-1 text-sm font-medium">What a record is made of</legend>
      <div className="grid gap-3 sm:grid-cols-3">
        <Select label="Kind of record" value={kind} onChange={pickKind} choices={[AUTOMATIC, ...KINDS]} />
        {roles.map((role) => (
          <ColumnField
            key={role}
            role={role}
            columns={columns}
            value={chosen[role] ?? ""}
            onChange={(column) => pickColumn(role, column)}
          />
        ))}
      </div>
      {incomplete ? (
        <p className="text-sm text-warn">
          Choose a different column for each part; until then the last choice holds.
        </p>
      ) : (
        used !== null && (
          <p className="text-sm text-muted">
            Used now: {MAPPINGS[mappingKind(used)].label.toLowerCase()} from{" "}
            {Object.entries(columnsIn(used))
              .map(([role, column]) => (role === column ? column : `${column} as ${role}`))
              .join(", ")}
            .
          </p>
        )
      )}
    </fieldset>
  );
}

/** One of the file's columns; typed where they are not known. */
function ColumnField(props: {
  role: string;
  columns: readonly string[];
  value: string;
  onChange: (column: string) => void;
}) {
  const { role, columns, value, onChange } = props;
  const label = `Column of the ${role}`;
  if (columns.length === 0) {
    return (
      <TextField
        label={label}
        value={value}
        onChange={onChange}
        description="Its name, exactly as in the file."
      />
    );
  }
  const names = value !== "" && !columns.includes(value) ? [value, ...columns] : columns;
  return (
    <Select
      label={label}
      value={value === "" ? null : value}
      onChange={onChange}
      choices={names.map((name) => ({ value: name, label: name }))}
      placeholder="Choose a column"
    />
  );
}
