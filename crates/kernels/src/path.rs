//! Which instructions this processor has.

/// A code path that this processor can run; holding one proves that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path(pub(crate) Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Path {
    /// Plain Rust: runs everywhere and defines what the others must return.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The fastest path of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::PORTABLE)
    }

    /// Every path that this processor can run, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut paths = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            paths.extend(avx2.then_some(Self(Kind::Avx2)));
            paths.extend((avx2 && avx512).then_some(Self(Kind::Avx512)));
        }
        paths
    }

    /// Name for reports: `portable`, `avx2` or `avx512-vnni`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512-vnni",
        }
    }
}

/// A function of [`Path`] whose one body is compiled for each set of instructions.
///
/// A macro because nothing else makes the compiler inline the body into functions with other target features: a generic
/// wrapper around a closure leaves the closure compiled for the plain target, with a call for every multiply-add.
macro_rules! each_path {
    ($(#[$attribute:meta])* $visible:vis fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        impl Path {
            $(#[$attribute])*
            $visible fn $name(self, $($arg: $kind),*) $(-> $out)? {
                #[inline(always)]
                fn body($($arg: $kind),*) $(-> $out)? $body
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $kind),*) $(-> $out)? {
                    body($($arg),*)
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw")]
                fn avx512($($arg: $kind),*) $(-> $out)? {
                    body($($arg),*)
                }
                match self.0 {
                    $crate::path::Kind::Portable => body($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: a `Path` of this kind exists only where these features were detected.
                    $crate::path::Kind::Avx2 => unsafe { avx2($($arg),*) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    $crate::path::Kind::Avx512 => unsafe { avx512($($arg),*) },
                }
            }
        }
    };
}
pub(crate) use each_path;
