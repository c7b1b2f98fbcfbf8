/** A form field for several of many things, which are searched by name. */
import {
  Button as AriaButton,
  ComboBox,
  FieldError,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Tag,
  TagGroup,
  TagList,
  Text,
} from "react-aria-components";
import { cx, INPUT, LABEL, OPTION, OPTIONS } from "./classes";
import { type Choice, type FieldProps, Unfold } from "./fields";

export interface SearchFieldProps extends FieldProps {
  /** What is chosen, in the order of choice. */
  chosen: readonly Choice<string>[];
  onChange: (values: string[]) => void;
  /** Most that can be chosen. */
  max: number;
  search: string;
  onSearch: (text: string) => void;
  /** Longest text that can be searched for. */
  searchMax: number;
  /** What fits the search, as far as it was read. */
  found: readonly Choice<string>[];
  /** Said in the place of what was found: that it is being read, that it failed, that nothing fits. */
  nothing: string;
  /** Said below what was found: that there is more. */
  remark?: string | null;
  placeholder?: string;
}

/** A text to search with, what fits it, and below what is chosen. */
export function SearchField(props: SearchFieldProps) {
  const { label, description, error, chosen, onChange, max, found, searchMax, placeholder } = props;
  const values = chosen.map(({ value }) => value);
  const full = values.length >= max;
  const others = found.map(({ value }) => value).filter((value) => !values.includes(value));
  return (
    <div className={cx("grid content-start gap-2", props.className)}>
      <ComboBox
        selectionMode="multiple"
        value={values}
        onChange={(keys) => onChange(keys.map(String))}
        inputValue={props.search}
        onInputChange={props.onSearch}
        items={found.map((choice) => ({ ...choice, id: choice.value }))}
        disabledKeys={full ? others : []}
        menuTrigger="focus"
        allowsEmptyCollection
        isInvalid={Boolean(error)}
        validationBehavior="aria"
        className="grid content-start gap-1"
      >
        <Label className={LABEL}>{label}</Label>
        <div className="relative">
          <Input maxLength={searchMax} placeholder={placeholder} className={cx(INPUT, "h-9 pr-9")} />
          <AriaButton className="absolute inset-y-0 right-0 grid w-9 place-items-center">
            <Unfold />
          </AriaButton>
        </div>
        {description && (
          <Text slot="description" className="text-xs text-muted">
            {description}
          </Text>
        )}
        <FieldError className="text-xs text-danger">{error}</FieldError>
        <Popover className={OPTIONS}>
          <Found nothing={props.nothing} />
          <Remark text={full ? `${max} are chosen; no more can be.` : props.remark} />
        </Popover>
      </ComboBox>
      <Chosen label={`${label}: chosen`} chosen={chosen} onChange={onChange} />
    </div>
  );
}

type Found = Choice<string> & { id: string };

function Found({ nothing }: { nothing: string }) {
  return (
    <ListBox<Found> className="outline-none" renderEmptyState={() => <Remark text={nothing} />}>
      {({ value, label, description }) => (
        <ListBoxItem id={value} textValue={label} className={cx(OPTION, "data-[disabled]:opacity-50")}>
          {({ isSelected }) => (
            <>
              <Text slot="label">
                {label}
                {isSelected && <span className="font-normal text-muted"> (chosen)</span>}
              </Text>
              {description && (
                <Text slot="description" className="block text-xs font-normal text-muted">
                  {description}
                </Text>
              )}
            </>
          )}
        </ListBoxItem>
      )}
    </ListBox>
  );
}

function Remark({ text }: { text: string | null | undefined }) {
  return text ? <p className="px-2.5 py-1.5 text-xs text-muted">{text}</p> : null;
}

/** What is chosen; stays where it is while it is empty, so that the focus has a place after the last one is removed. */
function Chosen({ label, chosen, onChange }: Pick<SearchFieldProps, "label" | "chosen" | "onChange">) {
  const values = chosen.map(({ value }) => value);
  return (
    <TagGroup
      aria-label={label}
      onRemove={(removed) => onChange(values.filter((value) => !removed.has(value)))}
    >
      <TagList
        items={chosen.map((choice) => ({ ...choice, id: choice.value }))}
        className="flex flex-wrap gap-1.5"
        renderEmptyState={() => <span className="text-sm text-muted">None chosen.</span>}
      >
        {({ id, label: name }) => (
          <Tag
            id={id}
            textValue={name}
            className="flex max-w-full cursor-default items-center gap-1.5 rounded-md border border-line bg-sunken py-0.5 pr-1 pl-2 text-sm"
          >
            <span className="min-w-0 break-words">{name}</span>
            <AriaButton
              slot="remove"
              className="grid size-5 shrink-0 place-items-center rounded text-muted hover:bg-surface hover:text-ink"
            >
              <Cross />
            </AriaButton>
          </Tag>
        )}
      </TagList>
    </TagGroup>
  );
}

function Cross() {
  return (
    <svg
      aria-hidden="true"
      viewBox="0 0 16 16"
      className="size-3"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
    >
      <path d="m4 4 8 8m0-8-8 8" />
    </svg>
  );
}
