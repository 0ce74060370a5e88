//! Values between the guest and the driver.
//!
//! A timestamptz is declared as a date-time and read as a naive one, which the driver refuses: on
//! Spin it cannot be read, and so not here.

use crate::bindings::spin::postgres::postgres::{Column, DbDataType, DbValue, ParameterValue, Row};
use anyhow::{Context as _, Result, bail};
use bytes::BytesMut;
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _, Utc};
use std::error::Error as StdError;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use uuid::Uuid;

type BoxedError = Box<dyn StdError + Sync + Send>;

/// Name and type of a column.
pub(super) fn column(column: &tokio_postgres::Column) -> Column {
    Column { name: column.name().to_owned(), data_type: data_type(column.type_()) }
}

fn data_type(sql: &Type) -> DbDataType {
    match *sql {
        Type::BOOL => DbDataType::Boolean,
        Type::BYTEA => DbDataType::Binary,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::INT4_ARRAY => DbDataType::ArrayInt32,
        Type::INT8_ARRAY => DbDataType::ArrayInt64,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DbDataType::ArrayStr,
        _ => DbDataType::Other(sql.name().to_owned()),
    }
}

/// A row as the guest sees it.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row> {
    (0..row.len()).map(|index| value(row, index)).collect()
}

fn value(row: &tokio_postgres::Row, index: usize) -> Result<DbValue> {
    let column = &row.columns()[index];
    match *column.type_() {
        Type::BOOL => get(row, index, DbValue::Boolean),
        Type::BYTEA => get(row, index, DbValue::Binary),
        Type::FLOAT4 => get(row, index, DbValue::Floating32),
        Type::FLOAT8 => get(row, index, DbValue::Floating64),
        Type::INT2 => get(row, index, DbValue::Int16),
        Type::INT4 => get(row, index, DbValue::Int32),
        Type::INT8 => get(row, index, DbValue::Int64),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => get(row, index, DbValue::Str),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => get(row, index, date_time),
        Type::DATE => get(row, index, date),
        Type::TIME => get(row, index, time),
        Type::UUID => get(row, index, |uuid: Uuid| DbValue::Uuid(uuid.to_string())),
        Type::JSONB => get(row, index, json),
        Type::INT4_ARRAY => get(row, index, DbValue::ArrayInt32),
        Type::INT8_ARRAY => get(row, index, DbValue::ArrayInt64),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => {
            get(row, index, DbValue::ArrayStr)
        }
        Type::NUMERIC
        | Type::NUMERIC_ARRAY
        | Type::INTERVAL
        | Type::INT4_RANGE
        | Type::INT8_RANGE
        | Type::NUM_RANGE => {
            bail!("column {:?}: holdfast-devhost cannot read {}", column.name(), column.type_())
        }
        _ => get(row, index, |raw: Raw| DbValue::Unsupported(raw.0)),
    }
}

fn get<'a, T: FromSql<'a>>(
    row: &'a tokio_postgres::Row,
    index: usize,
    convert: impl Fn(T) -> DbValue,
) -> Result<DbValue> {
    Ok(row.try_get::<_, Option<T>>(index)?.map_or(DbValue::DbNull, convert))
}

#[expect(clippy::cast_possible_truncation, reason = "months, days, hours and minutes are small")]
fn date_time(value: NaiveDateTime) -> DbValue {
    DbValue::Datetime((
        value.year(),
        value.month() as u8,
        value.day() as u8,
        value.hour() as u8,
        value.minute() as u8,
        value.second() as u8,
        value.nanosecond(),
    ))
}

#[expect(clippy::cast_possible_truncation, reason = "months and days are small")]
fn date(value: NaiveDate) -> DbValue {
    DbValue::Date((value.year(), value.month() as u8, value.day() as u8))
}

#[expect(clippy::cast_possible_truncation, reason = "hours, minutes and seconds are small")]
fn time(value: NaiveTime) -> DbValue {
    DbValue::Time((
        value.hour() as u8,
        value.minute() as u8,
        value.second() as u8,
        value.nanosecond(),
    ))
}

fn json(value: serde_json::Value) -> DbValue {
    DbValue::Jsonb(value.to_string().into_bytes())
}

/// The bytes of a type that Spin does not know.
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxedError> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter as the driver takes it.
pub(super) fn parameter(value: ParameterValue) -> Result<Box<dyn ToSql + Send + Sync>> {
    Ok(match value {
        ParameterValue::Boolean(v) => Box::new(v),
        ParameterValue::Int8(v) => Box::new(v),
        ParameterValue::Int16(v) => Box::new(v),
        ParameterValue::Int32(v) => Box::new(v),
        ParameterValue::Int64(v) => Box::new(v),
        ParameterValue::Floating32(v) => Box::new(v),
        ParameterValue::Floating64(v) => Box::new(v),
        ParameterValue::Str(v) => Box::new(v),
        ParameterValue::Binary(v) => Box::new(v),
        ParameterValue::Date((y, m, d)) => Box::new(naive_date(y, m, d)?),
        ParameterValue::Time((h, m, s, ns)) => Box::new(naive_time(h, m, s, ns)?),
        ParameterValue::Datetime((y, mo, d, h, m, s, ns)) => {
            Box::new(naive_date(y, mo, d)?.and_time(naive_time(h, m, s, ns)?))
        }
        ParameterValue::Timestamp(seconds) => Box::new(
            DateTime::<Utc>::from_timestamp(seconds, 0)
                .with_context(|| format!("invalid epoch timestamp {seconds}"))?,
        ),
        ParameterValue::Uuid(v) => {
            Box::new(Uuid::parse_str(&v).with_context(|| format!("invalid UUID {v}"))?)
        }
        ParameterValue::Jsonb(v) => {
            Box::new(serde_json::from_slice::<serde_json::Value>(&v).context("invalid JSON")?)
        }
        ParameterValue::ArrayInt32(v) => Box::new(v),
        ParameterValue::ArrayInt64(v) => Box::new(v),
        ParameterValue::ArrayStr(v) => Box::new(v),
        ParameterValue::DbNull => Box::new(Null),
        ParameterValue::Decimal(_)
        | ParameterValue::ArrayDecimal(_)
        | ParameterValue::RangeInt32(_)
        | ParameterValue::RangeInt64(_)
        | ParameterValue::RangeDecimal(_)
        | ParameterValue::Interval(_) => {
            bail!("holdfast-devhost takes no decimal, range or interval as a parameter")
        }
    })
}

fn naive_date(year: i32, month: u8, day: u8) -> Result<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month.into(), day.into()).context("invalid date")
}

fn naive_time(hour: u8, minute: u8, second: u8, nanosecond: u32) -> Result<NaiveTime> {
    NaiveTime::from_hms_nano_opt(hour.into(), minute.into(), second.into(), nanosecond)
        .context("invalid time")
}

/// NULL for a parameter of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, BoxedError> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}
