package policy

// signTexts are the signs of each list, one after another with a comma between:
//
//	sum up      these words, whole
//	résum*      a word that begins so
//	what is #   the same, # being a number
//	*翻译*      these letters anywhere, for writing without spaces
var signTexts = [signLists]string{
	translationWords: `translate, translates, translating, translation, how do you say, how do i say, how would you say,
	übersetze, übersetzen, übersetz, übersetzt, übersetzung, wie sagt man,
	traduis, traduire, traduisez, traduction, comment dit on, comment dire,
	traduce, traducir, traduzca, traduzcan, tradúceme, traducción, cómo se dice, como se dice,
	traduci, tradurre, traducete, traduzione, come si dice,
	traduza, traduzir, traduz, tradução, como se diz,
	vertaal, vertalen, vertaling, översätt, oversæt, oversett, przetłumacz, přelož, çevir, dịch, terjemahkan,
	перевед*, перевод, перевести, как сказать, переклад*, *翻译*, *翻譯*, *翻訳*, *訳して*, *怎么说*, *번역*, *ترجم*, *अनुवाद*`,

	sayingWords: `say, says, mean, means, call, called, word for, heißt, bedeutet, sagt, dit, dire, dice, decir, significa, diz, dizer,
		по`,

	languageWords: `in english, in french, in german, in spanish, in italian, in portuguese, in dutch, in swedish, in polish, in russian,
		in greek, in turkish, in arabic, in hindi, in chinese, in mandarin, in japanese, in korean, in latin, into english, into french,
		auf englisch, auf deutsch, auf französisch, auf spanisch, auf italienisch, auf russisch, auf japanisch, auf chinesisch,
		en anglais, en français, en allemand, en espagnol, en italien, en inglés, en francés, en alemán, en español, en italiano,
		in inglese, in francese, in tedesco, in spagnolo, in italiano, em inglês, em francês, em espanhol, em português,
		английски, немецки, французски`,

	summaryWords: `summarise, summarize, summarised, summarized, summarises, summarizes, summarising, summarizing,
	a summary, short summary, brief summary, summary of, summary please, sum up, tldr, tl dr, key points, main points,
	key takeaways, in a nutshell, condense, shorten, the gist, this text about, this article about,
	zusammenfass*, fasse, zusammenzufassen, fass, kurzfassung,
	résume, résumer, résumez, résumé de, un résumé, synthétise,
	resume este, resume esta, resume el, resume la, resume lo, resumir, resúmeme, resumen, resumo, resuma,
	riassumi, riassumere, riassunto, samenvatten, vat samen, samenvatting, sammanfatta, streszcz*, özetle, tóm tắt, ringkas*,
	кратко изложи, кратко перескажи, резюмируй, подведи итог, подведи итоги, стисло, *总结*, *總結*, *概括*, *摘要*, *要約*, *まとめて*, *요약*,
	*لخص*, *सारांश*`,

	extractionWords: `extract, extracts, extracting, pull out, as json, to json, into json, json with, as csv, into a table,
	extrahier*, ziehe alle, extrais, extraire, extrayez, extrae, extraer, extraiga, estrai, estrarre, extraia, extrair,
	extraheer, extrahera, wyodrębnij, извлеки*, извлечь, выпиши, *提取*, *抽取*, *抽出*, *추출*, *استخرج*`,

	searchWords: `find, list, identify, get, give, tell, name, pick, collect, which, what, who,
		finde, nenne, liste, suche, trouve, donne, encuentra, enumera, busca, trova, elenca, найди, перечисли`,

	sourceWords: `from the text, in the text, from this text, in this text, from the following, in the following text,
		mentioned in, from the passage, in the passage, in this paragraph, from this paragraph, in this message, from this message,
		text below, passage below, paragraph below, message below, email below, article below, invoice below, from this email, in this email, from this document, in this document,
		from the article, from the invoice, from this invoice, out of this,
		im text, aus dem text, im folgenden text, dans le texte, du texte suivant, en el texto, del texto, nel testo, dal testo,
		из текста, в тексте`,

	inventionWords: `brainstorm, imagine you, imagine a, imagine that, imagine being, role play, roleplay, pretend you, pretend to be,
	stell dir vor, imagine que, imagina que, immagina, представь, *想象*`,

	creativeWords: `poem, poems, haiku, haikus, limerick, sonnet, ballad, ode, story, stories, fairy tale, tale, fable, lyrics,
		song, screenplay, movie script, novel, joke, jokes, slogan, slogans, catchy, tagline, taglines, rap, rhyme, dialogue, monologue,
		riddle, love letter, blog post, short fiction, pun, puns,
		gedicht*, geschichte, märchen, witz, witze, liedtext, erzählung, reim*, werbespruch,
		poème, poèmes, histoire, conte, chanson, blague, poésie, une nouvelle,
		poema, poemas, cuento, historia, canción, chiste, poesía, conto, história, piada, canção,
		poesia, storia, racconto, fiaba, canzone, barzelletta, filastrocca,
		verhaal, dikt, saga, wiersz, bajkę, şiir, hikaye,
		стих*, рассказ, сказк*, историю, песн*, шутк*, анекдот, *诗*, *詩*, *故事*, *小说*, *小說*, *笑话*, *物語*, *小説*, *俳句*, *시를*,
		*이야기*, *قصيدة*, *قصة*, *कविता*, *कहानी*`,

	tellingWords: `tell, give, compose, invent, improvise, make up, verfasse, erfinde, dichte, erzähl, erzähle, invente,
		raconte, raconter, inventa, cuenta, cuéntame, racconta, raccontami, componi, verzin, расскажи, сочини, придумай, *讲*, *教えて*`,

	codeWords: `python, javascript, typescript, golang, in go, java, kotlin, in rust, rust function, rust program, c++, c#,
	in ruby, ruby on rails, php, sql, mysql, postgres, postgresql, sqlite, html, css, bash, shell script, powershell, regex, regexp,
	regular expression, node js, npm, pip install, yaml, react component, django, spring boot, docker, dockerfile, docker compose, kubernetes, git, github, makefile, cmake,
	traceback, stacktrace, stack trace, segfault, segmentation fault, refactor, debug, debugging, unit test, unit tests,
	pull request, source code, this code, my code, some code, write code, the code to, the code that, code for a, code that, code review, review the code, following code, code below,
	codebase, null pointer, nullpointerexception, typeerror, syntaxerror, valueerror, keyerror, syntax error, compile error, compiler,
	runtime error, api endpoint, rest api, rest endpoint, data structure, linked list, binary search, binary tree, hash map, goroutine, goroutines,
	for loop, while loop, race condition, deadlock, off by one,
	quellcode, diesen code, dieser code, mein code, programmiere, ce code, mon code, este código, mi código, meu código,
	questo codice, deze code, этот код, мой код, код на, на питоне, *代码*, *代碼*, *编程*, *コード*, *코드*`,

	programWords: `function, functions, script, scripts, algorithm, unit test, unit tests, program that, a program to, computer program, web server, web app, crawler, parser, funktion, skript, programm, fonction, programme qui, función, programa que,
		funzione, programma che, função, функцию, скрипт, программу, *函数*, *代码*, *程序*, *関数*, *コード*, *プログラム*, *코드*, *함수*`,

	buildingWords: `write, create, generate, draft, come up with, continue, rewrite, implement, build, fix, optimise, optimize,
		develop, improve, finish, schreib, schreibe, schreiben, erstelle, implementiere, écris, écrire, écrivez, crée, rédige,
		escribe, escribir, escríbeme, crea, redacta, escreva, escreve, crie, scrivi, scrivere, schrijf, skriv, napisz, yaz,
		напиши, создай, *写*, *寫*, *编*, *書いて*, *作って*, *작성*, *써*, *만들*, *اكتب*, *लिख*`,

	mathWords: `equation, equations, integral, integrals, integrate, derivative, derivatives, differentiate, theorem, prove that,
	square root, cube root, polynomial, quadratic, prime number, prime numbers, prime factors, prime factorisation,
	prime factorization, logarithm, factorial, eigenvalue, eigenvalues, eigenvector, eigenvectors, determinant, trigonometry, hypotenuse,
	standard deviation, algebra, arithmetic, greatest common divisor, least common multiple, pythagorean, area of a, volume of a,
	circumference, perimeter,
	gleichung*, ableitung, stammfunktion, quadratwurzel, wurzel aus, primzahl*, beweise, équation, équations, dérivée, intégrale,
	racine carrée, nombres premiers, ecuación, ecuaciones, derivada, raíz cuadrada, números primos, equazione, equazioni, derivata,
	radice quadrata, equação, equações, raiz quadrada, vergelijking, równanie, denklem*,
	уравнен*, интеграл*, производн*, квадратный корень, *方程*, *积分*, *積分*, *导数*, *微分*, *平方根*, *방정식*, *제곱근*, *معادلة*, *समीकरण*`,

	reckoningWords: `solve, calculate, compute, subtract, multiply, multiplied, divide, divided, sum of, average of, product of,
	median of, probability, matrix, percent of, remainder, simplify, factorise, factorize, chance of, chances of, odds of,
	berechne, berechnen, rechne, löse, geteilt, prozent von, calcule, calculer, résous, résoudre, divisé,
	calcula, calcular, resuelve, dividido, por ciento de, calcola, risolvi, diviso, resolva, bereken, oblicz, hesapla,
	вычисли, посчитай, реши, умножить, разделить, *计算*, *計算*, *乘以*, *除以*, *계산*, *احسب*`,

	quantityWords: `plus, minus, times, how many, how much, how far, how long, how fast, how old, what percentage, of the total,
	mal, wie viel, wie viele, wieviel, wie lange, wie weit, wie alt, fois, combien, por, cuánto, cuánta, cuántos, cuántas,
	quanto, quanti, quante, quanta, quantos, quantas, hoeveel, ile, kaç, сколько, *多少*, *几个*, *いくつ*, *いくら*, *何個*, *얼마*, *몇*`,

	sumWords: `what is #, what s #, whats #, was ist #, wie viel ist #, was ergibt #, combien fait #, combien font #, cuánto es #,
		quanto fa #, quanto é #, hoeveel is #, сколько будет #`,

	thoughtWords: `explain, compare, comparison, analyse, analyze, analysis, evaluate, assess, design, devise, plan a, plan my, plan for, plan the, a plan, business plan, how should i, strategy,
	roadmap, architecture, pros and cons, advantages, disadvantages, trade offs, tradeoffs, step by step, in detail, detailed,
	thorough, comprehensive, essay, report, argue, arguments, discuss, critique, investigate, consequences, implications,
	root cause, justify, difference between, differences between, research,
	erklär*, vergleich*, analysier*, bewerte, beurteile, begründe, entwirf, plane, konzept, ausführlich*, vor und nachteile,
	schritt für schritt, unterschied zwischen, diskutiere,
	explique, expliquer, expliquez, comparer, analyser, évalue, évaluer, détaill*, étape par étape, avantages,
	explica, explícame, compara, comparar, analiza, evalúa, detallad*, paso a paso, ventajas, planifica, diseña,
	spiega, spiegami, confronta, analizza, valuta, dettagliat*, passo dopo passo, vantaggi, analise, avalie, detalhad*, vantagens,
	leg uit, vergelijk, förklara, jämför, wyjaśnij, porównaj, açıkla, karşılaştır,
	объясни, объясните, сравни, сравните, проанализируй*, подробно, пошагов*, обоснуй, *解释*, *解釋*, *比较*, *比較*, *分析*, *详细*,
	*説明*, *詳しく*, *설명*, *비교*, *분석*, *اشرح*, *قارن*, *समझा*`,
}
