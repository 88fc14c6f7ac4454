//! Results that functions could return in place of theirs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{GenericArgument, PathArguments, ReturnType, Type, TypePath};

/// Returns the results for a return type. Some may not compile.
pub fn results(output: &ReturnType) -> Vec<TokenStream> {
    match output {
        ReturnType::Default => vec![quote!(())],
        ReturnType::Type(_, kind) => values(kind),
    }
}

fn values(kind: &Type) -> Vec<TokenStream> {
    match kind {
        Type::Tuple(tuple) => {
            let parts: Vec<TokenStream> =
                tuple.elems.iter().filter_map(|part| values(part).into_iter().next()).collect();
            if parts.len() == tuple.elems.len() { vec![quote!((#(#parts),*))] } else { Vec::new() }
        }
        Type::Path(path) => values_of(path),
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => vec![quote!(""), quote!("xyzzy")],
            Type::Slice(_) if reference.mutability.is_none() => vec![quote!(&[])],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn values_of(path: &TypePath) -> Vec<TokenStream> {
    let Some(last) = path.path.segments.last() else { return Vec::new() };
    let argument = || match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(kind) => Some(kind),
                _ => None,
            })
        }
        _ => None,
    };
    let wrapped = |wrap: fn(&TokenStream) -> TokenStream| -> Vec<TokenStream> {
        argument().map(values).unwrap_or_default().iter().map(wrap).collect()
    };
    match last.ident.to_string().as_str() {
        "bool" => vec![quote!(true), quote!(false)],
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => {
            vec![quote!(0), quote!(1)]
        }
        "String" => vec![quote!(String::new()), quote!("xyzzy".to_owned())],
        "Cow" => vec![quote!(std::borrow::Cow::Borrowed(""))],
        "Vec" => vec![quote!(Vec::new())],
        "Option" => {
            let mut found = vec![quote!(None)];
            found.extend(wrapped(|value| quote!(Some(#value))));
            found
        }
        "Result" => wrapped(|value| quote!(Ok(#value))),
        "Box" => wrapped(|value| quote!(Box::new(#value))),
        _ => vec![quote!(Default::default())],
    }
}
