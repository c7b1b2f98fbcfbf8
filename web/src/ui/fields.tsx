/** Form fields: each with its label, an explanation, and its error beside it. */
import type { ReactNode } from "react";
import {
  Button as AriaButton,
  Checkbox as AriaCheckbox,
  RadioGroup as AriaRadioGroup,
  Select as AriaSelect,
  TextField as AriaTextField,
  FieldError,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Radio,
  SelectValue,
  Text,
  TextArea,
} from "react-aria-components";
import { cx, INPUT, LABEL, OPTION, OPTIONS } from "./classes";

export interface FieldProps {
  label: string;
  /** What it is for, in a sentence. */
  description?: ReactNode;
  /** What is wrong with it. */
  error?: string | null;
  isDisabled?: boolean;
  isRequired?: boolean;
  className?: string;
}

export interface TextFieldProps extends FieldProps {
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
  /** Lines; more than one makes a text area. */
  lines?: number;
  /** A unit shown at the right: "OPEN". */
  unit?: string;
  inputMode?: "text" | "decimal" | "numeric" | "search";
  type?: "text" | "search" | "url";
  name?: string;
  maxLength?: number;
  /** False where the label would repeat what stands beside the field. */
  showLabel?: boolean;
}

/** Text, long text or an amount. */
export function TextField(props: TextFieldProps) {
  const {
    label,
    description,
    error,
    lines = 1,
    unit,
    placeholder,
    inputMode,
    showLabel = true,
    className,
    ...rest
  } = props;
  const field =
    lines > 1 ? (
      <TextArea rows={lines} placeholder={placeholder} className={cx(INPUT, "py-1.5")} />
    ) : (
      <Input
        inputMode={inputMode}
        placeholder={placeholder}
        className={cx(INPUT, "h-9", unit && "num pr-14")}
      />
    );
  return (
    <AriaTextField
      {...rest}
      aria-label={showLabel ? undefined : label}
      isInvalid={Boolean(error)}
      validationBehavior="aria"
      className={cx("grid content-start gap-1", className)}
    >
      {showLabel && <Label className={LABEL}>{label}</Label>}
      <div className="relative">
        {field}
        {unit && (
          <span className="pointer-events-none absolute inset-y-0 right-2.5 flex items-center text-sm text-muted">
            {unit}
          </span>
        )}
      </div>
      {description && (
        <Text slot="description" className="text-xs text-muted">
          {description}
        </Text>
      )}
      <FieldError className="text-xs text-danger">{error}</FieldError>
    </AriaTextField>
  );
}

export interface Choice<Key extends string> {
  value: Key;
  label: string;
  description?: ReactNode;
}

/** The arrow of a field that unfolds. */
export function Unfold() {
  return (
    <svg
      aria-hidden="true"
      viewBox="0 0 16 16"
      className="size-3 shrink-0 text-muted"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
    >
      <path d="m3 6 5 5 5-5" />
    </svg>
  );
}

/** One of several, folded. */
export function Select<Key extends string>({
  label,
  description,
  error,
  value,
  onChange,
  choices,
  placeholder = "Choose",
  showLabel = true,
  className,
  ...rest
}: FieldProps & {
  value: Key | null;
  onChange: (value: Key) => void;
  choices: readonly Choice<Key>[];
  placeholder?: string;
  showLabel?: boolean;
}) {
  const pick = (key: unknown) => {
    const choice = choices.find((one) => one.value === key);
    if (choice) onChange(choice.value);
  };
  const about = description ?? choices.find((one) => one.value === value)?.description;
  return (
    <AriaSelect
      {...rest}
      aria-label={showLabel ? undefined : label}
      value={value}
      onChange={pick}
      placeholder={placeholder}
      isInvalid={Boolean(error)}
      validationBehavior="aria"
      className={cx("grid content-start gap-1", className)}
    >
      {showLabel && <Label className={LABEL}>{label}</Label>}
      <AriaButton className={cx(INPUT, "flex h-9 items-center justify-between gap-2 text-left")}>
        <SelectValue className="truncate">
          {({ isPlaceholder, selectedText, defaultChildren }) =>
            isPlaceholder ? defaultChildren : selectedText
          }
        </SelectValue>
        <Unfold />
      </AriaButton>
      {about && (
        <Text slot="description" className="text-xs text-muted">
          {about}
        </Text>
      )}
      <FieldError className="text-xs text-danger">{error}</FieldError>
      <Popover className={OPTIONS}>
        <ListBox className="outline-none">
          {choices.map((choice) => (
            <ListBoxItem key={choice.value} id={choice.value} textValue={choice.label} className={OPTION}>
              <Text slot="label">{choice.label}</Text>
              {choice.description && (
                <Text slot="description" className="block text-xs font-normal text-muted">
                  {choice.description}
                </Text>
              )}
            </ListBoxItem>
          ))}
        </ListBox>
      </Popover>
    </AriaSelect>
  );
}

/** Yes or no. */
export function Checkbox({
  children,
  description,
  isSelected,
  onChange,
  isDisabled,
}: {
  children: ReactNode;
  description?: ReactNode;
  isSelected: boolean;
  onChange: (selected: boolean) => void;
  isDisabled?: boolean;
}) {
  return (
    <AriaCheckbox
      isSelected={isSelected}
      onChange={onChange}
      isDisabled={isDisabled}
      className="group flex items-start gap-2.5 text-sm data-[disabled]:opacity-60"
    >
      <span className="mt-0.5 grid size-4 shrink-0 place-items-center rounded border border-line-strong bg-surface group-data-[focus-visible]:outline-2 group-data-[focus-visible]:outline-offset-2 group-data-[focus-visible]:outline-accent group-data-[selected]:border-accent group-data-[selected]:bg-accent">
        <svg
          aria-hidden="true"
          viewBox="0 0 12 12"
          className="size-3 text-on-accent opacity-0 group-data-[selected]:opacity-100"
          fill="none"
          stroke="currentColor"
          strokeWidth="2"
        >
          <path d="m2 6.5 2.6 2.5L10 3.2" />
        </svg>
      </span>
      <span>
        {children}
        {description && <span className="block text-xs text-muted">{description}</span>}
      </span>
    </AriaCheckbox>
  );
}

/** One of a few, all of them shown. */
export function RadioGroup<Key extends string>({
  label,
  value,
  onChange,
  choices,
  className,
}: {
  label: string;
  value: Key | null;
  onChange: (value: Key) => void;
  choices: readonly Choice<Key>[];
  className?: string;
}) {
  const pick = (key: string) => {
    const choice = choices.find((one) => one.value === key);
    if (choice) onChange(choice.value);
  };
  return (
    <AriaRadioGroup value={value} onChange={pick} className={cx("grid gap-1.5", className)}>
      <Label className={LABEL}>{label}</Label>
      <div className="grid gap-1.5">
        {choices.map((choice) => (
          <Radio
            key={choice.value}
            value={choice.value}
            className="group flex cursor-pointer items-start gap-2.5 rounded-md border border-line bg-surface px-3 py-2 text-sm data-[focus-visible]:outline-2 data-[focus-visible]:outline-accent data-[selected]:border-accent data-[selected]:bg-accent-soft"
          >
            <span className="mt-0.5 size-4 shrink-0 rounded-full border border-line-strong bg-surface group-data-[selected]:border-[5px] group-data-[selected]:border-accent" />
            <span>
              {choice.label}
              {choice.description && <span className="block text-xs text-muted">{choice.description}</span>}
            </span>
          </Radio>
        ))}
      </div>
    </AriaRadioGroup>
  );
}
