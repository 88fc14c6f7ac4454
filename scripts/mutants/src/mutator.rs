//! Replaces operators, guards and arms by expressions that ask the switch.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use serde_json::{Value, json};
use syn::{
    Arm, BinOp, Block, Expr, ExprBinary, ExprMatch, File, ImplItemFn, ItemConst, ItemFn, ItemMod, ItemStatic,
    Pat, Signature, TraitItemFn, UnOp, Variant, parse_quote,
    spanned::Spanned,
    visit::Visit,
    visit_mut::{self, VisitMut},
};

use crate::functions::results;

pub struct Mutator {
    left_out: BTreeSet<u32>,
    next: u32,
    file: String,
    functions: Vec<String>,
    pub mutants: Vec<Value>,
}

impl Mutator {
    pub fn new(left_out: BTreeSet<u32>) -> Self {
        Self { left_out, next: 0, file: String::new(), functions: Vec::new(), mutants: Vec::new() }
    }

    pub fn mutate(&mut self, file: &str, syntax: &mut File) {
        file.clone_into(&mut self.file);
        self.visit_file_mut(syntax);
    }

    /// Returns the call of the switch for a new mutant; `None` if it is left out.
    fn switch(&mut self, span: Span, change: impl Into<String>) -> Option<TokenStream> {
        let number = self.next;
        self.next += 1;
        if self.left_out.contains(&number) {
            return None;
        }
        let function = self.functions.last().cloned().unwrap_or_default();
        let line = span.start().line;
        self.mutants.push(json!({
            "number": number, "file": self.file, "line": line, "function": function, "change": change.into(),
        }));
        Some(quote!(crate::mutant(#number)))
    }

    fn function(&mut self, signature: &Signature, block: &mut Block) {
        if signature.constness.is_some() {
            return;
        }
        self.functions.push(signature.ident.to_string());
        visit_mut::visit_block_mut(self, block);
        let span = signature.ident.span();
        let early = results(&signature.output).into_iter().filter_map(|result| {
            let change = format!("returns {result}");
            let switch = self.switch(span, change.replace(' ', ""))?;
            Some(parse_quote!(if #switch { return #result; }))
        });
        let early: Vec<syn::Stmt> = early.collect();
        block.stmts.splice(0..0, early);
        self.functions.pop();
    }

    fn binary(&mut self, binary: &ExprBinary) -> Option<Expr> {
        let ExprBinary { left, op, right, .. } = binary;
        let span = op.span();
        let text = quote!(#op).to_string();
        match op {
            BinOp::Eq(_) | BinOp::Ne(_) => {
                let switch = self.switch(span, format!("{text} negated"))?;
                Some(parse_quote!(((#left #op #right) != #switch)))
            }
            BinOp::And(_) => {
                let switch = self.switch(span, "&& becomes ||")?;
                Some(parse_quote!(({ let left: bool = #left; if left != #switch { #right } else { left } })))
            }
            BinOp::Or(_) => {
                let switch = self.switch(span, "|| becomes &&")?;
                Some(parse_quote!(({ let left: bool = #left; if left == #switch { #right } else { left } })))
            }
            _ => {
                let others: &[TokenStream] = &match op {
                    BinOp::Lt(_) => vec![quote!(<=), quote!(>)],
                    BinOp::Le(_) => vec![quote!(<), quote!(>)],
                    BinOp::Gt(_) => vec![quote!(>=), quote!(<)],
                    BinOp::Ge(_) => vec![quote!(>), quote!(<)],
                    BinOp::Add(_) => vec![quote!(-)],
                    BinOp::Sub(_) => vec![quote!(+)],
                    BinOp::BitAnd(_) => vec![quote!(|)],
                    BinOp::BitOr(_) => vec![quote!(&)],
                    _ => return None,
                };
                let mut mutated: Expr = parse_quote!((#left #op #right));
                for other in others {
                    if let Some(switch) = self.switch(span, format!("{text} becomes {other}")) {
                        mutated = parse_quote!((if #switch { #left #other #right } else { #mutated }));
                    }
                }
                Some(mutated)
            }
        }
    }

    fn arms(&mut self, expression: &mut ExprMatch) {
        let has_rest =
            expression.arms.iter().any(|arm| matches!(arm.pat, Pat::Wild(_)) && arm.guard.is_none());
        for arm in &mut expression.arms {
            let span = arm.pat.span();
            if let Some((_, guard)) = &mut arm.guard
                && !has_let(guard)
            {
                for (change, always) in [("guard is true", true), ("guard is false", false)] {
                    let Some(switch) = self.switch(span, change) else { continue };
                    let current = guard.clone();
                    **guard = if always {
                        parse_quote!((#switch || #current))
                    } else {
                        parse_quote!((!#switch && #current))
                    };
                }
            }
            if has_rest && !matches!(arm.pat, Pat::Wild(_)) {
                self.without(arm, span);
            }
        }
    }

    fn without(&mut self, arm: &mut Arm, span: Span) {
        let Some(switch) = self.switch(span, "arm deleted") else { return };
        match &mut arm.guard {
            Some((_, guard)) if has_let(guard) => {}
            Some((_, guard)) => {
                let current = guard.clone();
                **guard = parse_quote!((!#switch && #current));
            }
            None => {
                let guard: Expr = parse_quote!((!#switch));
                arm.guard = Some((syn::token::If::default(), Box::new(guard)));
            }
        }
    }
}

impl VisitMut for Mutator {
    fn visit_item_mod_mut(&mut self, item: &mut ItemMod) {
        if !item.attrs.iter().any(|attribute| quote!(#attribute).to_string().contains("test")) {
            visit_mut::visit_item_mod_mut(self, item);
        }
    }

    fn visit_item_fn_mut(&mut self, item: &mut ItemFn) {
        if !item.attrs.iter().any(|attribute| quote!(#attribute).to_string().contains("test")) {
            self.function(&item.sig, &mut item.block);
        }
    }

    fn visit_impl_item_fn_mut(&mut self, item: &mut ImplItemFn) {
        self.function(&item.sig, &mut item.block);
    }

    fn visit_trait_item_fn_mut(&mut self, item: &mut TraitItemFn) {
        if let Some(block) = &mut item.default {
            self.function(&item.sig, block);
        }
    }

    // These are evaluated by the compiler.
    fn visit_item_const_mut(&mut self, _: &mut ItemConst) {}
    fn visit_item_static_mut(&mut self, _: &mut ItemStatic) {}
    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_variant_mut(&mut self, _: &mut Variant) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_expr_repeat_mut(&mut self, _: &mut syn::ExprRepeat) {}
    fn visit_expr_const_mut(&mut self, _: &mut syn::ExprConst) {}
    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}

    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        visit_mut::visit_expr_mut(self, expression);
        let mutated = match expression {
            Expr::Binary(binary) if !has_let(&binary.left) && !has_let(&binary.right) => self.binary(binary),
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                let operand = unary.expr.clone();
                self.switch(unary.op.span(), "! deleted").map(|switch| parse_quote!(((!#operand) != #switch)))
            }
            Expr::Match(found) => {
                self.arms(found);
                None
            }
            _ => None,
        };
        if let Some(mutated) = mutated {
            *expression = mutated;
        }
    }
}

/// Returns whether a condition is a chain with `let`, which cannot stand in parentheses.
fn has_let(expression: &Expr) -> bool {
    struct Finder(bool);
    impl<'ast> Visit<'ast> for Finder {
        fn visit_expr_let(&mut self, _: &'ast syn::ExprLet) {
            self.0 = true;
        }
        fn visit_expr_if(&mut self, _: &'ast syn::ExprIf) {}
        fn visit_expr_block(&mut self, _: &'ast syn::ExprBlock) {}
        fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}
        fn visit_expr_paren(&mut self, _: &'ast syn::ExprParen) {}
    }
    let mut finder = Finder(false);
    finder.visit_expr(expression);
    finder.0
}
