//! XGBoost through its C interface.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::rc::Rc;

use libloading::{Library, Symbol};

use crate::Failed;
use crate::contender::{Ahead, Contender};
use crate::rows::{Batch, Rows};

const SETTINGS: &std::ffi::CStr =
    c"{\"type\": 0, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": false, \
    \"missing\": NaN, \"training\": false, \"cache_id\": 0}";

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(*const Handle, u64, *mut Handle) -> c_int;
type Load = unsafe extern "C" fn(Handle, *const c_char) -> c_int;
type Set = unsafe extern "C" fn(Handle, *const c_char, *const c_char) -> c_int;
type Predict = unsafe extern "C" fn(
    Handle,
    *const c_char,
    *const c_char,
    Handle,
    *mut *const u64,
    *mut u64,
    *mut *const f32,
) -> c_int;

/// Where rows are, in the words of array interfaces, and the rows.
#[derive(Clone)]
pub struct Places {
    texts: Rc<Ahead<CString>>,
    _rows: Rc<Rows>,
}

impl Places {
    pub fn of(rows: &Rc<Rows>) -> Result<Self, Failed> {
        let texts = Ahead::make(rows, |batch| {
            let (address, count, width) = (rows.single(batch).as_ptr().addr(), batch.count, rows.width);
            Ok(CString::new(format!(
                r#"{{"data": [{address}, true], "shape": [{count}, {width}], "typestr": "<f4", "version": 3}}"#
            ))?)
        })?;
        Ok(Self { texts, _rows: Rc::clone(rows) })
    }
}

/// `XGBoosterPredictFromDense`, which is `inplace_predict`: rows stay where they are. The text that says where, which it takes for
/// each call, was made before.
pub struct XgBoost {
    booster: Handle,
    predict: Predict,
    places: Places,
    _library: Rc<Library>,
}

impl XgBoost {
    pub fn load(library: &Rc<Library>, file: &Path, places: &Places) -> Result<Self, Failed> {
        let path = CString::new(file.as_os_str().as_encoded_bytes())?;
        let mut booster = ptr::null_mut();
        // SAFETY: the signatures are those of XGBoost 3's `c_api.h`; texts end with a zero and outlive the calls.
        unsafe {
            let create: Symbol<'_, Create> = library.get(b"XGBoosterCreate")?;
            let load: Symbol<'_, Load> = library.get(b"XGBoosterLoadModel")?;
            let set: Symbol<'_, Set> = library.get(b"XGBoosterSetParam")?;
            done(create(ptr::null(), 0, &mut booster))?;
            done(load(booster, path.as_ptr()))?;
            done(set(booster, c"nthread".as_ptr(), c"1".as_ptr()))?;
            let predict = *library.get::<Predict>(b"XGBoosterPredictFromDense")?;
            Ok(Self { booster, predict, places: places.clone(), _library: Rc::clone(library) })
        }
    }
}

impl Contender for XgBoost {
    fn score(&mut self, batch: Batch, scores: &mut [f64]) -> Result<(), Failed> {
        let (mut shape, mut rank, mut result) = (ptr::null(), 0, ptr::null());
        let place = self.places.texts.of(batch).as_ptr();
        // SAFETY: the text tells where the rows are, which live as long as this.
        let status = unsafe {
            let (settings, proxy) = (SETTINGS.as_ptr(), ptr::null_mut());
            (self.predict)(self.booster, place, settings, proxy, &mut shape, &mut rank, &mut result)
        };
        done(status)?;
        // SAFETY: it gives a score for each row, which stay until the next call of this thread.
        let result = unsafe { std::slice::from_raw_parts(result, batch.count) };
        scores.iter_mut().zip(result).for_each(|(score, number)| *score = f64::from(*number));
        Ok(())
    }
}

fn done(status: c_int) -> Result<(), Failed> {
    if status == 0 { Ok(()) } else { Err(format!("XGBoost gives {status}").into()) }
}
