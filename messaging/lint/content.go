package lint

import (
	"slices"
	"strings"
)

// sector is a kind of business whose texts carriers or the platform do not take. Its
// phrases are in normal form, and match whole words only.
type sector struct {
	name, rule string
	phrases    []string
	except     []string // phrases around a match that mean something else
	unless     []string // phrases anywhere in the text that mean something else
}

var sectors = []sector{
	{
		name: "sex", rule: shaft,
		phrases: []string{
			"sex", "sexy", "porn", "porno", "xxx", "erotic", "nudes", "escorts", "strip club", "adult toys", "lingerie show", "hookups", "hot singles",
			"sexo", "erotico", "erotica", "sexe", "erotique",
		},
		except: []string{"sex education", "sex ed", "same sex", "safe sex", "by sex", "sex and"},
	},
	{name: "hate", rule: shaft, phrases: []string{"white power", "race war", "heil hitler", "ethnic cleansing", "white supremacy", "poder blanco", "supremacia blanca", "pouvoir blanc"}},
	{
		name: "alcohol", rule: shaft,
		phrases: []string{
			"beer", "beers", "wine", "wines", "vodka", "whiskey", "whisky", "tequila", "liquor", "cocktail", "cocktails", "margaritas", "champagne", "happy hour", "open bar", "bourbon",
			"cerveza", "cervezas", "vinos", "licores", "cocteles", "biere", "bieres", "vins", "cocktail hour",
		},
		except: []string{
			"root beer", "ginger beer", "non alcoholic beer", "wine vinegar", "wine country", "wine red", "wine glass", "wine glasses", "cocktail dress", "cocktail dresses", "cocktail attire", "cocktail napkins", "shrimp cocktail", "fruit cocktail",
			"beer cheese", "beer battered", "fruits cocktail", "champagne ave", "champagne street", "champagne color",
		},
		unless: []string{"sober", "sobriety", "recovery", "alcohol free"},
	},
	{
		name: "firearms", rule: shaft,
		phrases: []string{
			"gun", "guns", "firearm", "firearms", "ammo", "ammunition", "rifle", "rifles", "pistol", "pistols", "handgun", "handguns", "shotgun", "shotguns", "ar 15",
			"armas de fuego", "pistolas", "rifles", "municiones", "armes a feu", "fusils", "carabines",
		},
		except: []string{
			"glue gun", "glue guns", "nail gun", "heat gun", "spray gun", "massage gun", "massage guns", "water gun", "water guns", "staple gun", "top gun", "nerf gun", "nerf guns",
			"caulking gun", "guns n", "gun shy", "jump the gun", "pistolas de agua", "pistolas de silicona", "gun metal", "tattoo gun", "radar gun",
		},
	},
	{
		name: "tobacco", rule: shaft,
		phrases: []string{
			"cigarette", "cigarettes", "cigar", "cigars", "tobacco", "vape", "vapes", "vaping", "e cig", "e cigs", "e cigarettes", "hookah", "nicotine", "smoke shop",
			"cigarros", "cigarrillos", "tabaco", "puros", "tabac", "cigares", "vapoteuses", "vapoteuse",
		},
		unless: []string{"quit smoking", "cessation", "stop smoking", "tobacco free", "smoke free", "dejar de fumar", "arreter de fumer", "no smoking", "no vaping", "nicotine patch", "without tobacco", "libre de tabaco", "sans tabac"},
	},
	{
		name: "cannabis", rule: barredSector,
		phrases: []string{"cannabis", "marijuana", "thc", "cbd", "dispensary", "edibles", "prerolls", "pre rolls", "marihuana"},
	},
	{
		name: "gambling", rule: barredSector,
		phrases: []string{"casino", "casinos", "sportsbook", "jackpot", "free spins", "blackjack", "poker", "place your bets", "place your bet", "betting", "apuestas", "tragamonedas", "loteria", "paris sportifs", "lottery"},
		except:  []string{"poker face"},
	},
	{
		name: "high-risk lending", rule: barredSector,
		phrases: []string{"payday loan", "payday loans", "title loan", "title loans", "cash advance", "cash advances", "no credit check", "bad credit", "fast cash", "instant loan", "instant loans", "prestamo rapido", "prestamos rapidos", "sin verificacion de credito", "pret rapide", "prets rapides", "sans enquete de credit"},
	},
	{
		name: "debt collection and relief", rule: barredSector,
		phrases: []string{"debt relief", "debt collection", "debt collector", "debt consolidation", "debt settlement", "consolidate your debt", "credit repair", "loan forgiveness", "past due debt", "cobro de deudas", "alivio de deudas", "eliminar sus deudas", "reparacion de credito", "recouvrement de dettes", "consolidation de dettes"},
	},
	{name: "lead generation", rule: barredSector, phrases: []string{"lead generation", "qualified leads", "buy leads", "exclusive leads", "generacion de leads", "generation de leads"}},
	{
		name: "sweepstakes", rule: barredSector,
		phrases: []string{"sweepstakes", "sweepstake", "enter to win", "chance to win", "you've won", "you have won", "claim your prize", "participe y gane", "gran sorteo", "has ganado", "tirage au sort", "courez la chance", "vous avez gagne"},
	},
	{name: "gift cards", rule: barredSector, phrases: []string{"gift card", "gift cards", "giftcard", "tarjeta de regalo", "tarjetas de regalo", "carte cadeau", "cartes cadeaux", "carte cadeaux"}},
	{
		name: "job and get-rich offers", rule: barredSector,
		phrases: []string{"work from home", "get rich", "be your own boss", "passive income", "make money fast", "earn money fast", "make money online", "trabaje desde casa", "gane dinero", "ingresos pasivos", "travail a domicile", "gagnez de l'argent", "revenus passifs"},
	},
	{
		name: "third-party insurance", rule: barredSector,
		phrases: []string{"insurance quote", "insurance quotes", "auto insurance", "car insurance", "life insurance", "cheap insurance", "seguro de auto", "seguro de vida", "assurance auto", "assurance vie"},
	},
}

// barred finds the sectors that a text seems to be of, each once, with the first word of it.
func (s *subject) barred(found func(sec sector, at int)) {
	for _, sec := range sectors {
		if s.contains(sec.unless...) >= 0 {
			continue
		}
		if at := s.ofSector(sec); at >= 0 {
			found(sec, at)
		}
	}
}

func (s *subject) ofSector(sec sector) int {
	for i := range s.words {
		for _, p := range sec.phrases {
			if n := s.at(i, strings.Fields(p)); n > 0 && !s.within(i, n, sec.except) {
				return i
			}
		}
	}
	return -1
}

// within tells whether the n words at i are part of one of the phrases.
func (s *subject) within(i, n int, phrases []string) bool {
	return slices.ContainsFunc(phrases, func(p string) bool {
		words := strings.Fields(p)
		for from := max(0, i-len(words)+1); from < i+n; from++ {
			if s.at(from, words) > 0 {
				return true
			}
		}
		return false
	})
}

// promotions are words that sell.
var promotions = []string{
	"sale", "discount", "discounts", "coupon", "coupons", "promo", "promo code", "deal", "deals", "shop now", "buy", "order now", "special offer", "free shipping", "save", "offer", "offers", "bogo",
	"percent off", "oferta", "ofertas", "descuento", "descuentos", "cupon", "compre", "promocion", "gratis", "rabais", "solde", "soldes", "offre", "offres", "gratuit", "achetez", "reduction",
}

// promotion finds what sells; -1 if nothing does.
func (s *subject) promotion() int {
	for i := range s.words {
		if i+1 < len(s.words) && s.words[i+1].norm == "off" && strings.Contains(s.words[i+1].gap, "%") {
			return i
		}
		for _, p := range promotions {
			if s.at(i, strings.Fields(p)) > 0 && !s.denied(i) {
				return i
			}
		}
	}
	return -1
}

// denied tells whether the sentence says, before the word at i, that something does not come
// any more: "no more offers".
func (s *subject) denied(i int) bool {
	for k := i - 1; k >= 0 && s.words[k].sentence == s.words[i].sentence; k-- {
		if negations[s.words[k].norm] || clearVerbs[s.words[k].norm] || s.words[k].norm == "further" {
			return true
		}
	}
	return false
}
